//! Item ids: opaque, case-sensitive, holding `/ + =`, in two formats.
//!
//! An id is sealed, not stored: it holds what it names, masked and checked, so that any id can be
//! told apart as malformed, foreign or stale without an index.
//! learn.microsoft.com/graph/outlook-immutable-id describes the two formats; folder ids have one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::dice::{hash, mix};

/// Which of the two forms a client asked for with `Prefer: IdType="ImmutableId"`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    Default,
    Immutable,
}

/// What an id can name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Thing {
    /// `generation` goes up when the item's id changes
    Message {
        format: Format,
        key: u64,
        generation: u32,
    },
    Attachment {
        message: u64,
        key: u32,
    },
    Folder {
        key: u64,
    },
}

/// Why an id names nothing here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unsealed {
    Malformed,
    Foreign,
}

/// The id maker of one mailbox.
#[derive(Clone, Copy, Debug)]
pub struct Seal {
    secret: u64,
    mailbox: u64,
}

/// Plain bytes of a sealed id: kind, mailbox, key, generation, check.
const BODY: usize = 1 + 8 + 8 + 4 + 8;
/// Real ids are about 150 characters; the rest is filler that depends on the item alone.
const FILLER: usize = 54;

impl Seal {
    pub fn new(seed: u64, address: &str) -> Self {
        Self { secret: mix(seed ^ 0x1d5), mailbox: hash(seed, address.as_bytes()) }
    }

    pub fn seal(&self, thing: Thing) -> String {
        let (kind, key, generation) = match thing {
            Thing::Message { format: Format::Default, key, generation } => (1, key, generation),
            Thing::Message { format: Format::Immutable, key, generation } => (2, key, generation),
            Thing::Attachment { message, key } => (3, message, key),
            Thing::Folder { key } => (4, key, 0),
        };
        let mut body = [0; BODY];
        body[0] = kind;
        body[1..9].copy_from_slice(&self.mailbox.to_le_bytes());
        body[9..17].copy_from_slice(&key.to_le_bytes());
        body[17..21].copy_from_slice(&generation.to_le_bytes());
        let check = hash(self.secret, &body[..21]);
        body[21..].copy_from_slice(&check.to_le_bytes());

        let mut bytes = Vec::with_capacity(3 + FILLER + BODY);
        // "AAMk" and "AQMk" are how default and other ids begin
        bytes.extend(if kind == 1 { [0x00, 0x03, 0x24] } else { [0x01, 0x03, 0x24] });
        // the filler ignores the generation: an id that changes differs in its end alone
        let nonce = mix(self.secret ^ mix(self.mailbox ^ key) ^ u64::from(kind));
        filler(nonce, &mut bytes);
        mask(nonce, &mut body);
        bytes.extend(body);
        STANDARD.encode(bytes)
    }

    pub fn unseal(&self, id: &str) -> Result<Thing, Unsealed> {
        let bytes = STANDARD.decode(id).map_err(|_| Unsealed::Malformed)?;
        let body = bytes.get(3 + FILLER..).ok_or(Unsealed::Malformed)?;
        let mut body = <[u8; BODY]>::try_from(body).map_err(|_| Unsealed::Malformed)?;
        let first = word(&bytes, 3).ok_or(Unsealed::Malformed)?;
        mask(unfill(first), &mut body);
        let check = word(&body, 21).ok_or(Unsealed::Malformed)?;
        if check != hash(self.secret, &body[..21]) {
            return Err(Unsealed::Malformed);
        }
        if word(&body, 1) != Some(self.mailbox) {
            return Err(Unsealed::Foreign);
        }
        let key = word(&body, 9).ok_or(Unsealed::Malformed)?;
        let generation = u32::from_le_bytes([body[17], body[18], body[19], body[20]]);
        Ok(match body[0] {
            1 => Thing::Message { format: Format::Default, key, generation },
            2 => Thing::Message { format: Format::Immutable, key, generation },
            3 => Thing::Attachment { message: key, key: generation },
            _ => Thing::Folder { key },
        })
    }
}

/// Eight bytes that carry the nonce, then bytes that follow from it. The last two are fixed so that
/// every id holds a `/` and a `+`; its length makes it end in `=`.
fn filler(nonce: u64, out: &mut Vec<u8>) {
    out.extend((nonce ^ NONCE_MASK).to_le_bytes());
    let mut state = nonce;
    while out.len() < 3 + FILLER - 3 {
        state = mix(state);
        let room = 3 + FILLER - 3 - out.len();
        out.extend(&state.to_le_bytes()[..room.min(8)]);
    }
    // 0xfb 0xff 0xbf is "+/+/" where it falls on a group of three
    while out.len() < 3 + FILLER {
        out.push([0xfb, 0xff, 0xbf][out.len() % 3]);
    }
}

const NONCE_MASK: u64 = 0x005a_0d00_1d00_5a0d;

fn unfill(first: u64) -> u64 {
    first ^ NONCE_MASK
}

fn mask(nonce: u64, body: &mut [u8; BODY]) {
    let mut state = nonce;
    for chunk in body.chunks_mut(8) {
        state = mix(state ^ 0x6d61_736b);
        for (byte, key) in chunk.iter_mut().zip(state.to_le_bytes()) {
            *byte ^= key;
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let slice = bytes.get(at..at + 8)?;
    Some(u64::from_le_bytes(slice.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: Thing = Thing::Message { format: Format::Default, key: 7, generation: 1 };

    #[test]
    fn ids_go_round_and_are_stable() {
        let seal = Seal::new(1, "a@b.example");
        for thing in [
            ITEM,
            Thing::Message { format: Format::Immutable, key: u64::MAX, generation: 9 },
            Thing::Attachment { message: 7, key: 3 },
            Thing::Folder { key: 4 },
        ] {
            let id = seal.seal(thing);
            assert_eq!(seal.unseal(&id), Ok(thing));
            assert_eq!(Seal::new(1, "a@b.example").seal(thing), id, "the seed decides alone");
        }
    }

    #[test]
    fn every_id_bites_clients_that_do_not_encode() {
        let seal = Seal::new(1, "a@b.example");
        for key in 0..200 {
            let id = seal.seal(Thing::Message { format: Format::Default, key, generation: 0 });
            for c in ['/', '+', '='] {
                assert!(id.contains(c), "{id} has no {c}");
            }
        }
    }

    #[test]
    fn what_is_not_an_id_of_this_mailbox_is_told_apart() {
        let seal = Seal::new(1, "a@b.example");
        let id = seal.seal(ITEM);
        assert_eq!(Seal::new(1, "other@b.example").unseal(&id), Err(Unsealed::Foreign));
        assert_eq!(Seal::new(2, "a@b.example").unseal(&id), Err(Unsealed::Malformed));
        assert_eq!(seal.unseal(&id.to_ascii_lowercase()), Err(Unsealed::Malformed));
        assert_eq!(seal.unseal(&id[..id.len() - 4]), Err(Unsealed::Malformed));
        assert_eq!(seal.unseal("inbox"), Err(Unsealed::Malformed));
        assert_eq!(seal.unseal(""), Err(Unsealed::Malformed));
    }

    #[test]
    fn a_new_generation_differs_only_near_the_end() {
        let seal = Seal::new(1, "a@b.example");
        let next = Thing::Message { format: Format::Default, key: 7, generation: 2 };
        let (old, new) = (seal.seal(ITEM), seal.seal(next));
        assert_ne!(old, new);
        assert_eq!(old[..90], new[..90]);
    }
}

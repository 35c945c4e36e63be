"""The worker on JetStream: so many at once, an ack after the outcome, a sign of life meanwhile."""

import asyncio
import contextlib
import json
import os

import nats
from nats.errors import MsgAlreadyAckdError

from worker import Again, Mailer, NoToken, Refused, outcome

DELIVERIES = 5
PAUSE_SECONDS = 10
ALIVE_SECONDS = 20


async def handle(js, mailer, message):
    outcomes = os.environ["OUTCOMES"]
    try:
        request = json.loads(message.data)
        await mailer.send(request)
        headers = {"Nats-Msg-Id": request["id"]}
        await js.publish(f"{outcomes}.out", outcome(request), headers=headers)
    except NoToken:
        await message.nak(delay=PAUSE_SECONDS)
        return
    except Again as error:
        if message.metadata.num_delivered < DELIVERIES:
            await message.nak(delay=PAUSE_SECONDS)
            return
        await js.publish(f"{outcomes}.dead", message.data, headers={"Reason": str(error)})
    except (Refused, ValueError, KeyError) as error:
        await js.publish(f"{outcomes}.dead", message.data, headers={"Reason": str(error)})
    await message.ack_sync()


async def alive(in_hand):
    while True:
        await asyncio.sleep(ALIVE_SECONDS)
        for message in list(in_hand.values()):
            with contextlib.suppress(MsgAlreadyAckdError):
                await message.in_progress()


async def main():
    connection = await nats.connect(os.environ["NATS"])
    js = connection.jetstream()
    requests = await js.pull_subscribe_bind("worker", os.environ["REQUESTS"])
    mailer, most, in_hand = Mailer(), int(os.environ["CONCURRENCY"]), {}
    heartbeat = asyncio.create_task(alive(in_hand))
    while not heartbeat.done():
        while len(in_hand) >= most:
            await asyncio.wait(in_hand, return_when=asyncio.FIRST_COMPLETED)
        try:
            messages = await requests.fetch(most - len(in_hand), timeout=5)
        except asyncio.TimeoutError:
            continue
        for message in messages:
            task = asyncio.create_task(handle(js, mailer, message))
            in_hand[task] = message
            task.add_done_callback(in_hand.pop)
    heartbeat.result()


if __name__ == "__main__":
    asyncio.run(main())

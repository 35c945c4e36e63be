#!/bin/sh
# Builds the Debian package, by cargo-deb (cargo install cargo-deb --locked):
#
#   deploy/debian/build.sh [PROFILE]        # dist unless given; prints where the package is
#
# The manual and the completions are printed by the program that is packed.
set -eu

cd "$(dirname "$0")/../.."
profile=${1:-dist}

cargo build --locked --profile "$profile" --package mailbridge
folder=$profile
[ "$profile" = dev ] && folder=debug
program=target/$folder/mailbridge

rm -rf target/package
"$program" man target/package/man
"$program" completions bash > target/package/mailbridge.bash
"$program" completions zsh > target/package/_mailbridge
"$program" completions fish > target/package/mailbridge.fish

exec cargo deb --no-build --profile "$profile" --package mailbridge

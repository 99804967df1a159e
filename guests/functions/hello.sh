# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
#
# hello: takes a name (or nothing), gives a greeting.
# sample: world

read -r name
echo "Hello, ${name:-world}!"

# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=dash
#
# gzip: takes any bytes, gives them compressed.
# sample: abcabcabcabcabc

gzip -c

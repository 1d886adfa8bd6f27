#!/usr/bin/env bash
# Makes the WAV files of this folder anew. Needs espeak-ng and sox.
set -euo pipefail
cd "$(dirname "$0")"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# speak NAME SPEED TEXT: one sentence at 48 kHz, without the silence espeak-ng puts around it.
speak() {
    espeak-ng -v en-us -s "$2" -w "$work/raw.wav" "$3"
    sox "$work/raw.wav" -r 48000 -b 16 -c 1 "$work/$1.wav" \
        silence 1 0.01 0.5% reverse silence 1 0.01 0.5% reverse norm -6
}

# quiet NAME SECONDS
quiet() {
    sox -n -r 48000 -b 16 -c 1 "$work/$1.wav" trim 0 "$2"
}

speak question 150 "Hello, could you tell me when my order will arrive?"
quiet before 1
quiet after 4
sox "$work"/{before,question,after}.wav question.wav

speak request 150 "Please read me all the opening hours of this week."
speak objection 170 "Wait stop I only need today"
quiet before 0.5
quiet between 1.8
quiet after 1.5
sox "$work"/{before,request,between,objection,after}.wav barge-in.wav

# SPDX-License-Identifier: MIT
# For users: `make run` and `make test` work on a fresh machine. Developers use CMake's presets
# (CMakePresets.json) directly. `make run` goes on with the demo's run if there is one.
.POSIX:
.PHONY: all run test install clean setup

all: build/release/CMakeCache.txt
	@tools/build

run: all
	@if [ -e demo/checkpoint.milo ]; then build/release/milo demo --resume; \
	else build/release/milo demo; fi

test: all
	@tools/build test

# PREFIX=/usr/local by default.
install: all
	@tools/build install "$(PREFIX)"

setup build/release/CMakeCache.txt:
	@tools/setup

clean:
	rm -rf build/release

# Thin: everything is in packaging/dev.py, which needs nothing but Python 3.11. ARGS is handed on, as in
#   make test ARGS="tests/wire -x"      make run ARGS="--help"      make bench ARGS="store"
PYTHON ?= python3
DEV = @exec $(PYTHON) packaging/dev.py

.DEFAULT_GOAL := help
.PHONY: help run test test-slow lint native web bench screenshots fuzz fuzz-native peers lock docs deb deb-test deb-figures image-vm image-pi image-update image-test image-test-all image-lint image-figures changelog clean

help:
	@echo "make run         start a small pool on this machine and watch it in the browser"
	@echo "make test        style, types and every test that is not slow"
	@echo "make test-slow   the slow tests"
	@echo "make lint        style, format and types alone"
	@echo "make native      build the native data plane (cargo); test and bench do it by themselves where they can"
	@echo "make web         fetch the chart library (npm); run and test do it by themselves where they can"
	@echo "make fuzz        hostile input; TIMEBALL_FUZZ_EXAMPLES, TIMEBALL_FUZZ_PACKETS say how much; ARGS=inspector: its child alone"
	@echo "make fuzz-native fuzz the native plane (cargo-fuzz), TIMEBALL_FUZZ_SECONDS for each target"
	@echo "make bench       figures, side by side with other servers where they are installed"
	@echo "sudo make peers  install the real programs that tests and benchmarks talk to (Debian)"
	@echo "make screenshots  pictures of every page, light and dark, phone and desk"
	@echo "make lock        resolve the dependencies anew"
	@echo "make deb         the Debian packages, amd64 and arm64, into build/deb"
	@echo "sudo make deb-test  the package in a Debian 13 of its own: installed, run, upgraded, purged"
	@echo "make deb-figures  sizes of the packages, exposure of the units"
	@echo "make docs        write the manual's reference pages from the code"
	@echo "sudo make image-vm   the images for virtual machines, amd64 and arm64 (or ARGS=amd64), into build/images"
	@echo "sudo make image-update  the signed bundle that updates it; manual: updates.md"
	@echo "sudo make image-pi   the card for the Raspberry Pi, with its map and Imager's list"
	@echo "sudo make image-test  start it in QEMU and ask it from outside"
	@echo "sudo make image-test-all  the slow cases too: power cuts, wrong clocks, updates that fail"
	@echo "make image-lint  look into an image without starting it"
	@echo "sudo make image-figures  its sizes, its start, its memory"
	@echo "make changelog   what the next release brings"
	@echo "make clean       remove .venv and what builds leave"

run test test-slow lint native web bench screenshots fuzz fuzz-native peers lock docs deb deb-test deb-figures image-vm image-pi image-update image-test image-test-all image-lint image-figures changelog clean:
	$(DEV) $@ $(ARGS)

.PHONY: check test bench demo

check: ; python3 bootstrap.py check
test: ; python3 bootstrap.py test
bench: ; python3 bootstrap.py bench
demo: ; python3 bootstrap.py demo

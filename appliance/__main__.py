"""`python -m appliance` is the same as `timeball`."""

from appliance.cli import main

main()

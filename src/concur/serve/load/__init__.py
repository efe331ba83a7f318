"""Closed-loop load against a real server: many connections, one request outstanding on each.

wire.py       what a protocol's client side must be able to say and understand
resp.py       that of Redis, and so of our gateways
drive.py      the loop: connections, reconnecting, deadlines
bench.py      reads and writes of random keys, recorded and checked: `concur bench`
target.py     redis://host:port, and who answers there
"""

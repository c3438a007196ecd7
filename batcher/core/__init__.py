"""What decides: pure rules over values.

Nothing here reads a clock, draws a number, opens a file or a socket, logs or awaits: time, chance and bytes come in as
arguments, so that every rule can be tested as a table.
"""

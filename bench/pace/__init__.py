"""The rule for the limit, judged under virtual time: services that do not exist, and clients that obey the real rule.

service     when a made-up service answers, and what
client      a client with the real limit, breaker and pauses, and more records than it can ever send
rivals      other rules to compare with
scenario    one file: a service, what happens to it, and what is accepted
table       ours, the best fixed limit and the rivals side by side
real        the whole program against the sandbox, on real sockets
"""

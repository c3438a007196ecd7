"""The ledger: what makes a run provable, and resumable after a kill at any instant.

lock         one writer at a time
opening      how the file is opened and made, and its format
store        what one transaction holds, and how it is read again
memory       what earlier runs have left
writer       group commits while the run goes on: intents before sending, outcomes after
projection   the results and rejects files, which are made from it
"""

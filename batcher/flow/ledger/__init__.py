"""The ledger: what makes a run provable, and resumable after a kill at any instant.

store        the file: what one transaction holds, and how it is read again
writer       group commits while the run goes on: intents before sending, outcomes after
projection   the results and rejects files, which are made from it
"""

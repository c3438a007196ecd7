"""The ledger: what makes a run provable, and resumable after a kill at any instant.

address      where a ledger is: a file, or one among the many of a database
access       who may read it, and who may write it
rows         what its rows hold, as values
packing      lines as blobs
commit       what one transaction holds
lines        result and rejects lines as it has them
store        what a ledger tells and takes, of either kind
sqlite       the room of those in files
postgresql   the room of those in databases
temporary    for what is compared or chosen among more than memory should hold
reopen       records that have their outcome are opened again, to be sent once more
selection    which of them resubmit sends
reopened     these as the input of a run
settle       a person's word on records in doubt
memory       what earlier runs have left
moving       records out of the ledgers of earlier divisions, where the number of shards has changed
windows      which records are declared, and how many more are to be
runs         when each run began and ended, and how far it has read
projecting   the thread that writes the files
writer       group commits while the run goes on: intents before sending, outcomes after
projection   the results and rejects files, which are made from it
proof        that every record of an input has exactly one outcome
"""

"""The ledger: what makes a run provable, and resumable after a kill at any instant.

lock         one writer at a time
opening      how the file is opened and made, and its format
rows         what its rows hold, as values
packing      lines as blobs
commit       what one transaction holds
store        the file: commits go in, and are read again
reopen       records that have their outcome are opened again, to be sent once more
selection    which of them resubmit sends
reopened     these as the input of a run
settle       a person's word on records in doubt
memory       what earlier runs have left
windows      which records are declared, and how many more are to be
runs         when each run began and ended, and how far it has read
projecting   the thread that writes the files
writer       group commits while the run goes on: intents before sending, outcomes after
projection   the results and rejects files, which are made from it
proof        that every record of an input has exactly one outcome
"""

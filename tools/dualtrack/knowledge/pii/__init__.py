"""Personal data in texts: found by kind and place (`scan`), taken out by a policy (`mask`).

Promised are identifiers: numbers with a check of their own, and values after a word that says what they are. Names and
addresses are found where a word or their form gives them away; an operator may add a recogniser of their own.
"""

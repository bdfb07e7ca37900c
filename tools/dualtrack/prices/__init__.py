"""What instances cost: dated facts, an operator's own file, and the spot price history of the live API.

All prices are US$ for one instance and one hour, Linux, without tax.
"""

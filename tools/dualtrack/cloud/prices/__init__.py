"""What instances cost: dated facts, an operator's own file, and the spot price history of the live API.

All prices are US$ for one instance and one hour, Linux, without tax.
"""

#: Days and hours of a month, on average over four years: what a price by the month is for.
MONTH_DAYS = 365.25 / 12
MONTH_HOURS = MONTH_DAYS * 24

"""What both tracks cost, and at which load the local one is the cheaper of the two."""

"""Documents of one knowledge base for another one, through a bucket: cleaned, reviewed and sealed."""

"""The private knowledge base: documents are read (`parsing`), cleaned (`pii`), cut, and made versions to search in."""

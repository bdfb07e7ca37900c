"""The private knowledge base. So far: personal data in texts, found and masked (`pii`)."""

"""Who may do what, and proof of what was done: access, certificates, sealed files, the audit trail, OpenSearch."""

"""SM2, SM3 and SM4 by the libraries of the machine. Knows no file format: those are in `dualtrack.security`."""

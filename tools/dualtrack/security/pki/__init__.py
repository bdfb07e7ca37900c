"""A private certificate authority: a folder on the controller, for the project's own services and who may call them."""

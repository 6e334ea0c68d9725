"""The built-in demo model: no network, no key, and it says in every answer what it is."""

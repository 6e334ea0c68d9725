"""What a username may be: one form for whoever signs in, is searched for, or is made."""

from cattery.errors import BadRequestError

MAX_LENGTH = 100


def normalise_username(text: str) -> str:
    """Trim and lower-case a name, as every place that takes one does."""
    return text.strip().lower()


def clean_new_username(text: str) -> str:
    """Normalise the name of a new user and check its form.

    Raises:
        BadRequestError: blank, too long, or with white space, a slash or control characters.
    """
    username = normalise_username(text)
    if not username:
        raise BadRequestError("A user needs a name. Give one that is not blank.")
    if len(username) > MAX_LENGTH:
        raise BadRequestError(f"A username has at most {MAX_LENGTH} characters.")
    if any(c.isspace() or not c.isprintable() or c in "/\\" for c in username):
        raise BadRequestError("A username has no white space, slashes or control characters in it.")
    return username

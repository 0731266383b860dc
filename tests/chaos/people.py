"""Makes the people of a run and prints their keys: `python -m tests.chaos.people NUMBER`."""

import json
import sys

import django


def main() -> None:
    """Print a JSON object of user names and keys."""
    django.setup()
    from qwenedit.users.services import create_api_key, register_api_user

    keys = {}
    for number in range(int(sys.argv[1])):
        user, _ = register_api_user(username=f"user-{number}")
        _, keys[user.username] = create_api_key(user=user)
    sys.stdout.write(json.dumps(keys))


if __name__ == "__main__":
    main()

from django.db import migrations

# PostgreSQL writes an updated row anew. Where its page has room, no index needs to know; else all four do. The
# weekly bonus updates every row of a page at once, so half of each page is left free: pages filled from now
# on, and older ones as their rows move.


def leave_room(apps, schema_editor):
    _execute_on_postgresql(schema_editor, "ALTER TABLE users_user SET (fillfactor = 50)")


def leave_none(apps, schema_editor):
    _execute_on_postgresql(schema_editor, "ALTER TABLE users_user RESET (fillfactor)")


def _execute_on_postgresql(schema_editor, statement):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(statement)


class Migration(migrations.Migration):

    dependencies = [
        ('users', '0002_referrals_and_erasure'),
    ]

    operations = [migrations.RunPython(leave_room, leave_none)]

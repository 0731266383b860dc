"""The first page and the menu."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from jobs.models import Job
from qwenedit import settings
from tests.factories import NodeFactory

WITHOUT_THEME = """
from qwenedit import settings
settings.INSTALLED_APPS.remove("unfold")
import django
django.setup()
from django.contrib import admin
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
call_command("migrate", verbosity=0)
call_command("check", "--fail-level", "WARNING")
call_command("load_presets", verbosity=0)
from django.contrib.auth import get_user_model
from jobs.models import Job, Node, Preset
boss = get_user_model().objects.create_superuser("root", password="x")
Node.objects.create(name="a", url="http://keeper:hunter2@a:8188")
Job.objects.create(user=boss, preset=Preset.objects.first(), prompt="x", seed=1, price=1)
settings.ALLOWED_HOSTS.append("testserver")
client = Client()
client.force_login(boss)
urls = [reverse("admin:index")]
for model in admin.site._registry:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    urls.append(reverse(f"{name}_changelist"))
    row = model._default_manager.first()
    if row is not None:
        urls.append(reverse(f"{name}_change", args=[row.pk]))
for url in urls:
    answer = client.get(url)
    assert answer.status_code == 200, (url, answer.status_code)
    assert "hunter2" not in answer.text
    assert "unfold" not in answer.text
print(len(urls), "pages")
"""


def test_the_first_page_tells_how_jobs_and_nodes_are(boss: Client, job: Job) -> None:
    text = boss.get(reverse("admin:index")).text

    assert "longest wait" in text
    assert "silent" in text
    assert f"{reverse('admin:jobs_job_changelist')}?status__exact=failed" in text
    assert boss.get(f"{reverse('admin:jobs_job_changelist')}?status__exact=failed").status_code == 200


def test_the_first_page_tells_staff_only_what_they_may_see(staff: Callable[..., Client], job: Job) -> None:
    text = staff("view_user").get(reverse("admin:index")).text

    assert reverse("admin:users_user_changelist") in text
    assert reverse("admin:jobs_job_changelist") not in text
    assert "longest wait" not in text
    assert "silent" not in text


def test_a_disabled_node_is_no_news(boss: Client) -> None:
    NodeFactory.create(name="retired-node", is_enabled=False)

    assert "retired-node" not in boss.get(reverse("admin:index")).text


@pytest.mark.processes
def test_the_admin_runs_without_its_theme(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(WITHOUT_THEME)

    run = subprocess.run(
        [sys.executable, str(script)],
        cwd=settings.BASE_DIR,
        env={
            "PYTHONPATH": str(settings.BASE_DIR),
            "VAR_DIR": str(tmp_path),
            "DJANGO_SETTINGS_MODULE": settings.__name__,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert run.stdout.strip().endswith("pages")

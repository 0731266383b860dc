"""The articles that are shipped, the files with mistakes, the rows made of them, and the staff's own hand."""

import re
from dataclasses import replace
from html import unescape
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from botapp import checks, knowledge
from botapp.knowledge import ArticleData, Changes, KnowledgeError, read_articles, sync_articles
from botapp.models import Article
from jobs.catalogue import read_catalogue
from jobs.policy import check_prompt
from jobs.wishes import clean_prompt
from tests.factories import ArticleFactory, UserFactory

LIST = "admin:botapp_article_changelist"
ADVISED = re.compile(r"<code>(.*?)</code>", re.DOTALL)
CATEGORY = re.compile(r"[“«]([^\w\s]+) (\w[^”»]+)[”»]")

ARTICLE = ArticleData(
    slug="light",
    sort_order=1,
    icon="💡",
    title_ru="Свет",
    title_en="Light",
    body_ru="<b>Свет</b> важен.",
    body_en="<b>Light</b> matters.",
)


@pytest.fixture(scope="module")
def shipped() -> list[ArticleData]:
    return read_articles()


@pytest.fixture
def boss(db: None) -> Client:
    """A superuser's browser."""
    client = Client()
    client.force_login(UserFactory.create(is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def article(db: None) -> Article:
    """An article of the shipped knowledge base, as its file has it."""
    sync_articles(read_articles())
    return Article.objects.get(slug="light")


def shown() -> list[str]:
    return list(Article.objects.filter(is_active=True).values_list("slug", flat=True))


def load() -> str:
    answer = StringIO()
    call_command("load_articles", stdout=answer)
    return answer.getvalue().strip()


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "slug": "light",
        "order": 1,
        "icon": "💡",
        "title": {"ru": "Свет", "en": "Light"},
        "body": {"ru": "<b>Свет</b> важен.\n", "en": "<b>Light</b> matters.\n"},
    } | changes


def write(folder: Path, **entries: object) -> None:
    for name, node in entries.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(node, allow_unicode=True), encoding="utf-8")


def save(client: Client, article: Article, **fields: Any) -> Any:
    names = ("title_ru", "title_en", "icon", "body_ru", "body_en", "sort_order")
    # A browser sends what stands in a textarea with CRLF.
    form = {name: str(getattr(article, name)).replace("\n", "\r\n") for name in names} | {"is_active": "on"}
    return client.post(reverse("admin:botapp_article_change", args=[article.pk]), form | fields)


class TestShippedArticles:
    def test_there_are_at_least_eight_each_short_and_worth_reading(self, shipped: list[ArticleData]) -> None:
        assert len(shipped) >= 8
        for article in shipped:
            for body in (article.body_ru, article.body_en):
                assert 700 <= len(body) <= 2500, article.slug

    def test_the_subjects_that_were_agreed_are_there(self, shipped: list[ArticleData]) -> None:
        assert [article.slug for article in shipped] == [
            "prompt",
            "photo",
            "light",
            "fitting-room",
            "hair-and-beard",
            "techniques",
            "old-photos",
            "several-photos",
            "not-what-i-wanted",
            "points",
            "rules",
        ]

    def test_both_languages_are_built_alike(self, shipped: list[ArticleData]) -> None:
        for article in shipped:
            for part in ("\n\n", "<b>", "<code>", "•"):
                russian, english = article.body_ru.count(part), article.body_en.count(part)
                assert abs(russian - english) <= 1, (article.slug, part)

    def test_every_prompt_that_is_advised_is_accepted(self, shipped: list[ArticleData]) -> None:
        advised = [
            unescape(prompt)
            for article in shipped
            for body in (article.body_ru, article.body_en)
            for prompt in ADVISED.findall(body)
        ]
        assert len(advised) >= 20
        for prompt in advised:
            check_prompt(clean_prompt(prompt))

    def test_the_sections_that_are_named_exist(self, shipped: list[ArticleData]) -> None:
        roots = [category for category in read_catalogue().categories if category.parent is None]
        titles = {title for root in roots for title in (root.title_ru, root.title_en)}
        named = {
            title
            for article in shipped
            for body in (article.body_ru, article.body_en)
            for _, title in CATEGORY.findall(body)
        }
        assert named
        assert named <= titles


class TestFiles:
    def test_articles_come_in_their_order(self, tmp_path: Path) -> None:
        write(tmp_path, a=entry(slug="second", order=2), b=entry())
        second = replace(ARTICLE, slug="second", sort_order=2)
        assert read_articles(tmp_path) == [ARTICLE, second]

    @pytest.mark.parametrize(
        ("node", "problem"),
        [
            (["light"], "expected a mapping"),
            (entry(author="me"), "unknown field 'author'"),
            (entry(slug="Light_1"), "slug: expected lower-case"),
            (entry(slug="a" * 41), "slug: 41 characters, at most 40 fit"),
            (entry(slug=None), "slug: expected text"),
            (entry(order=0), "order: expected a whole number from 1, found 0"),
            (entry(order=True), "order: expected a whole number"),
            (entry(icon=" "), "icon: expected text"),
            (entry(title={"ru": "Свет"}), "title: expected exactly the languages ru and en"),
            (entry(title="Light"), "title: expected exactly the languages"),
            (entry(title={"ru": "Свет", "en": "a" * 61}), "title.en: 61 characters, at most 60 fit"),
            (entry(title={"ru": "Light", "en": "Light"}), "title.ru: is in the other language"),
            (entry(body={"ru": "Свет", "en": "Свет"}), "body.en: is in the other language"),
            (entry(body={"ru": "Свет", "en": "a" * 3501}), "body.en: 3501 characters, at most 3500 fit"),
            (entry(body={"ru": "<b>Свет", "en": "Light"}), "body.ru: <b> is not closed"),
        ],
    )
    def test_a_mistake_is_named_with_its_place(self, node: object, problem: str, tmp_path: Path) -> None:
        write(tmp_path, light=node)
        with pytest.raises(KnowledgeError) as refusal:
            read_articles(tmp_path)
        assert [line for line in refusal.value.problems if line.startswith(f"light.yaml: {problem}")]

    def test_all_mistakes_of_all_files_are_named_at_once(self, tmp_path: Path) -> None:
        write(tmp_path, a=entry(), b=entry(), c=entry(slug="c", order=3, icon=""))
        (tmp_path / "d.yaml").write_text("slug: [")
        (tmp_path / "e.yaml").write_bytes(b"\xff")
        with pytest.raises(KnowledgeError) as refusal:
            read_articles(tmp_path)
        files = [line.partition(":")[0] for line in refusal.value.problems]
        assert files == ["c.yaml", "d.yaml", "e.yaml", "b.yaml", "b.yaml"]
        assert "b.yaml: slug: the same as in a.yaml" in refusal.value.problems
        assert "b.yaml: order: the same as in a.yaml" in refusal.value.problems

    def test_an_empty_folder_is_a_mistake(self, tmp_path: Path) -> None:
        with pytest.raises(KnowledgeError, match="no YAML files"):
            read_articles(tmp_path)

    def test_the_start_up_check_finds_nothing_and_names_a_broken_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert checks.check_data_files() == []
        write(tmp_path, light=entry(order=0))
        monkeypatch.setattr("botapp.checks.read_articles", lambda: read_articles(tmp_path))
        (found,) = checks.check_data_files()
        assert (found.id, found.msg) == (
            "botapp.E002",
            "light.yaml: order: expected a whole number from 1, found 0",
        )


@pytest.mark.django_db
class TestRows:
    def test_the_command_loads_what_is_shipped(self, shipped: list[ArticleData]) -> None:
        count = len(shipped)
        assert load() == f"{count} articles shown: {count} new, 0 updated, 0 hidden"
        assert shown() == [article.slug for article in shipped]

    def test_loading_again_changes_nothing(self) -> None:
        load()
        before = list(Article.objects.values())
        assert load() == f"{len(before)} articles shown: 0 new, 0 updated, 0 hidden"
        assert list(Article.objects.values()) == before

    def test_a_change_of_the_files_reaches_rows_that_nobody_edited(self) -> None:
        other = replace(ARTICLE, slug="other", sort_order=2)
        assert sync_articles([ARTICLE, other]) == Changes(2, 0, 0)
        assert sync_articles([replace(ARTICLE, title_en="Lamps")]) == Changes(0, 1, 1)
        assert list(Article.objects.values_list("title_en", "is_active")) == [
            ("Lamps", True),
            ("Light", False),
        ]
        assert sync_articles([ARTICLE, other]) == Changes(0, 2, 0)
        assert shown() == ["light", "other"]

    def test_what_staff_edited_survives(self) -> None:
        sync_articles([ARTICLE])
        Article.objects.update(title_en="Ours", is_active=False, is_customised=True)
        ArticleFactory.create(slug="news")
        assert sync_articles([ARTICLE]) == Changes(0, 0, 0)
        assert Article.objects.get(slug="light").title_en == "Ours"
        assert shown() == ["news"]

    def test_a_broken_file_stops_the_command_and_changes_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path, good=entry(), bad=entry(icon=""))
        monkeypatch.setattr(knowledge.read_articles, "__defaults__", (tmp_path,))
        with pytest.raises(CommandError, match=r"bad\.yaml: icon"):
            load()
        assert not Article.objects.exists()


class TestAdmin:
    def test_what_staff_change_survives_the_next_load(self, boss: Client, article: Article) -> None:
        assert save(boss, article, title_en="Lamps").status_code == 302
        load()
        article.refresh_from_db()
        assert (article.title_en, article.is_customised) == ("Lamps", True)

    def test_saving_without_a_change_leaves_an_article_to_its_file(
        self, boss: Client, article: Article
    ) -> None:
        body = article.body_ru
        assert save(boss, article).status_code == 302
        article.refresh_from_db()
        assert (article.body_ru, article.is_customised) == (body, False)

    def test_an_article_that_staff_add_is_shown_and_survives(self, boss: Client, article: Article) -> None:
        form = {
            "slug": "news",
            "title_ru": "Новости",
            "title_en": "News",
            "icon": "📰",
            "body_ru": "Новое",
            "body_en": "<b>New</b>",
            "sort_order": 0,
            "is_active": "on",
        }
        assert boss.post(reverse("admin:botapp_article_add"), form).status_code == 302
        load()
        assert shown()[0] == "news"

    def test_html_that_telegram_would_refuse_is_refused_here(self, boss: Client, article: Article) -> None:
        answer = save(boss, article, body_en="<h1>Light</h1> & <b>shade")
        errors = answer.context["adminform"].form.errors["body_en"]
        assert len(errors) == 3
        assert "<b> is not closed" in errors
        article.refresh_from_db()
        assert not article.is_customised

    def test_an_article_is_restored_from_its_file(self, boss: Client, article: Article) -> None:
        save(boss, article, title_en="Lamps")
        own = ArticleFactory.create(slug="news")
        boss.post(reverse(LIST), {"action": "restore", "_selected_action": [article.pk, own.pk]})
        article.refresh_from_db()
        own.refresh_from_db()
        assert (article.title_en, article.is_customised) == ("Light: golden hour, night, studio", False)
        assert own.is_customised

    def test_a_broken_file_is_told_and_restores_nothing(
        self, boss: Client, article: Article, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save(boss, article, title_en="Lamps")
        monkeypatch.setattr("botapp.admin.articles.read_articles", lambda: read_articles(tmp_path))
        data = {"action": "restore", "_selected_action": [article.pk]}
        answer = boss.post(reverse(LIST), data, follow=True)
        assert "no YAML files here" in " ".join(map(str, answer.context["messages"]))
        article.refresh_from_db()
        assert article.title_en == "Lamps"

    def test_an_article_of_the_files_is_not_deleted_one_of_the_staff_is(
        self, boss: Client, article: Article
    ) -> None:
        own = ArticleFactory.create(slug="news")
        answers = [
            boss.post(reverse("admin:botapp_article_delete", args=[row.pk]), {"post": "yes"})
            for row in (article, own)
        ]
        assert [answer.status_code for answer in answers] == [403, 302]
        assert "news" not in shown()
        assert "light" in shown()

"""The knowledge base in the chat: found from the menu, read in one message, safe against old buttons."""

import pytest

from botapp.knowledge import read_articles, sync_articles
from botapp.models import Article, Chat, IncomingUpdate
from tests.botapp.talking import Talk
from tests.telegram import Telegram


@pytest.fixture
def talk(alice_chat: Chat, telegram: Telegram) -> Talk:
    """Alice's conversation; all articles are there."""
    sync_articles(read_articles())
    return Talk(telegram, alice_chat)


def article(slug: str) -> Article:
    return Article.objects.get(slug=slug)


def test_an_article_is_two_taps_from_the_menu_and_all_in_one_message(talk: Talk) -> None:
    talk.do("message", text="/menu")
    menu = talk.last
    talk.tap("📚 Knowledge base")
    assert "Short articles" in talk.text
    assert "✍️ How to write a prompt" in talk.labels
    talk.tap("✍️ How to write a prompt")
    assert talk.text.startswith("✍️ How to write a prompt\n\nThe model sees your photo")
    assert "<b>✍️ How to write a prompt</b>" in talk.last["html"]
    talk.tap("‹ All articles")
    assert "Short articles" in talk.text
    talk.tap("☰ Menu")
    assert "What shall we do?" in talk.text
    assert talk.last["message_id"] == menu["message_id"]
    assert len(talk.telegram.said(talk.user_id)) == 1


def test_a_russian_reads_in_russian(bob_chat: Chat, telegram: Telegram) -> None:
    sync_articles(read_articles())
    talk = Talk(telegram, bob_chat)
    talk.do("message", text="/menu")
    talk.tap("📚 База знаний")
    assert talk.labels[0] == "✍️ Как написать промпт"
    talk.tap("✍️ Как написать промпт")
    assert "что изменить, затем что оставить" in talk.text


def test_every_article_can_be_read_one_after_the_other(talk: Talk) -> None:
    talk.do("message", text="/menu")
    talk.tap(data="kb")
    titles = talk.labels[:-1]
    talk.tap(titles[0])
    read = [talk.text.partition("\n")[0]]
    while "Next ›" in talk.labels:
        talk.tap("Next ›")
        read.append(talk.text.partition("\n")[0])
    assert read == titles
    assert len(read) == Article.objects.count()
    assert set(IncomingUpdate.objects.values_list("outcome", flat=True)) == {
        "menu.main",
        "articles.shelf",
        "articles.read",
    }


def test_what_staff_hide_is_no_longer_offered_and_an_old_button_says_so(talk: Talk) -> None:
    talk.do("message", text="/menu")
    talk.tap(data="kb")
    hidden = article("light")
    Article.objects.filter(pk=hidden.pk).update(is_active=False)
    talk.tap("💡 Light")
    assert talk.toasts == ["This article is no longer here. These are the others."]
    assert "Short articles" in talk.text
    assert not [label for label in talk.labels if label.startswith("💡")]


@pytest.mark.parametrize("argument", ["", "x", "0", "99999999999999999999999999", "1:2", "-1", "²"])
def test_a_button_that_makes_no_sense_leads_to_the_shelf(talk: Talk, argument: str) -> None:
    talk.do("message", text="/menu")
    menu = talk.last["message_id"]
    pressed = {
        "id": "1",
        "from": {"id": talk.user_id, "is_bot": False, "first_name": "Alice"},
        "message": {
            "message_id": menu,
            "date": 1,
            "chat": {"id": talk.user_id, "type": "private"},
            "text": "Menu",
        },
        "chat_instance": "1",
        "data": f"article:{argument}",
    }
    talk.telegram.act("send_update", update={"callback_query": pressed})
    talk.answer()
    assert "Short articles" in talk.text


def test_a_title_with_signs_is_shown_as_it_is(talk: Talk) -> None:
    Article.objects.filter(slug="light").update(title_en="Light & <shade>", icon="")
    talk.do("message", text="/menu")
    talk.tap(data="kb")
    talk.tap("Light & <shade>")
    assert talk.text.startswith("Light & <shade>\n\n")


def test_without_articles_the_shelf_says_so(talk: Talk) -> None:
    Article.objects.all().delete()
    talk.do("message", text="/menu")
    talk.tap(data="kb")
    assert talk.text == "There are no articles yet."
    assert talk.labels == ["☰ Menu"]

"""The chat page, used in a browser as a newcomer would, with a bot that says what the test tells it to."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import FilePayload, Locator, Page, Route, expect

from qwenedit import settings
from tests.servers import TelegramServer, start_sandbox_telegram
from tests.waiting import wait_until

SAMPLES = settings.BASE_DIR / "qwenedit" / "samples"
ASTRONAUT, COFFEE = SAMPLES / "astronaut.png", SAMPLES / "coffee.jpg"


# A note vanishes after seconds, which a busy machine may sleep through: the page itself remembers them.
REMEMBER_NOTES = """
    window.notes = [];
    document.addEventListener("DOMContentLoaded", () => {
        for (const place of document.querySelectorAll(".toasts[role=status]")) {
            new MutationObserver((changes) => {
                const notes = changes.flatMap((change) => [...change.addedNodes]);
                const shown = notes.filter((note) => note.checkVisibility());
                window.notes.push(...shown.map((note) => note.innerText));
            }).observe(place, {childList: true});
        }
    });
"""


class Bot:
    """The bot: what it hears, one update after the other, and the methods it calls."""

    def __init__(self, server: TelegramServer) -> None:
        self._methods = f"{server.api_url}{server.token}"
        self._heard: list[dict[str, Any]] = []
        self._offset = 0

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the Bot API and return its result."""
        answer = requests.post(f"{self._methods}/{method}", json=parameters, timeout=30).json()
        assert answer["ok"], answer
        return answer["result"]

    def hear(self, kind: str = "message") -> dict[str, Any]:
        """Return the next update, which must be of this kind."""
        while not self._heard:
            self._heard = self.call("getUpdates", offset=self._offset, timeout=20)
        update = self._heard.pop(0)
        self._offset = update["update_id"] + 1
        assert kind in update, update
        content: dict[str, Any] = update[kind]
        return content


class Chat:
    """The page, in the words of who uses it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.log = page.get_by_role("log", name="Messages")

    def write(self, text: str) -> None:
        """Type a message and send it."""
        self.page.get_by_role("textbox", name="Message").fill(text)
        self.page.get_by_role("textbox", name="Message").press("Enter")

    def message(self, text: str) -> Locator:
        """Return the message that has this text."""
        return self.log.get_by_role("listitem").filter(has_text=text)

    def notes(self) -> list[str]:
        """Return the notes the page has shown so far, those that are gone included."""
        notes: list[str] = self.page.evaluate("window.notes")
        return notes

    def choose(self, button: Locator | str, item: str) -> None:
        """Open a menu by its button and choose from it."""
        opener = self.page.get_by_role("button", name=button) if isinstance(button, str) else button
        opener.click()
        self.page.get_by_role("menuitem", name=item).click()

    def about(self, text: str, item: str) -> None:
        """Choose from the menu of a message."""
        self.message(text).hover()
        self.choose(self.message(text).get_by_role("button", name="Actions for this message"), item)

    def attach(self, *files: Any) -> Locator:
        """Pick files and return the dialog in which they are sent."""
        with self.page.expect_file_chooser() as chooser:
            self.choose("Attach", "Photos or files…")
        chooser.value.set_files(files)
        return self.page.get_by_role("dialog")

    def become_new(self, name: str, language: str) -> None:
        """Make a person and be them."""
        self.page.get_by_role("button", name="New person").click()
        form = self.page.get_by_role("dialog", name="New person")
        form.get_by_label("Name", exact=True).fill(name)
        form.get_by_label(language).check()
        form.get_by_role("button", name="Save").click()


@pytest.fixture(scope="module")
def running_server() -> Iterator[TelegramServer]:
    with start_sandbox_telegram() as server:
        yield server


@pytest.fixture
def server(running_server: TelegramServer) -> TelegramServer:
    running_server.act("reset")
    return running_server


@pytest.fixture
def bot(server: TelegramServer) -> Bot:
    return Bot(server)


@pytest.fixture
def chat(page: Page, server: TelegramServer) -> Chat:
    """The page, opened for the first time."""
    page.add_init_script(REMEMBER_NOTES)
    page.goto(server.url)
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    return Chat(page)


@pytest.fixture
def me(chat: Chat, bot: Bot) -> int:
    """The id of the person who has written "Hello" to the bot."""
    chat.write("Hello")
    user_id: int = bot.hear()["from"]["id"]
    return user_id


def test_a_newcomer_presses_start_and_the_bot_answers(chat: Chat, bot: Bot) -> None:
    expect(chat.page.get_by_text("Nothing is sent to Telegram, and payments are play money.")).to_be_visible()
    expect(chat.page.get_by_role("heading", level=1)).to_have_text("QwenEdit")
    chat.page.get_by_role("button", name="Start", exact=True).click()
    heard = bot.hear()
    assert heard["text"] == "/start"
    assert heard["from"].items() >= {"first_name": "You", "language_code": "en"}.items()

    def is_shown_typing() -> bool:
        bot.call("sendChatAction", chat_id=heard["chat"]["id"], action="typing")
        return chat.page.get_by_text("is typing…").is_visible()

    wait_until(is_shown_typing, every=0.5)  # for five seconds, which a busy machine may sleep through
    text = "<b>Welcome!</b> Send a <i>photo</i>, or /help"
    sent = bot.call("sendMessage", chat_id=heard["chat"]["id"], text=text, parse_mode="HTML")
    expect(chat.message("Welcome!").locator("b")).to_have_text("Welcome!")
    expect(chat.page.get_by_text("is typing…")).to_be_hidden()
    expect(chat.page.get_by_role("button", name="Start", exact=True)).to_be_hidden()

    chat.message("Welcome!").get_by_role("button", name="/help").click()
    assert bot.hear()["text"] == "/help"
    changed = {"message_id": sent["message_id"], "text": "Welcome back"}
    bot.call("editMessageText", chat_id=heard["chat"]["id"], **changed)
    expect(chat.message("Welcome back")).to_contain_text("edited")


def test_several_people_have_chats_of_their_own_and_the_browser_remembers_who_one_is(
    chat: Chat, bot: Bot, me: int
) -> None:
    chat.become_new("Алиса", "Русский")
    expect(chat.message("Hello")).to_have_count(0)
    chat.write("Привет")
    alice = bot.hear()["from"]
    assert alice["id"] != me
    assert (alice["first_name"], alice["language_code"]) == ("Алиса", "ru")

    chat.page.reload()
    expect(chat.message("Привет")).to_be_visible()
    chat.write("Это снова я")
    bot.call("sendMessage", chat_id=me, text="News for you")
    people = chat.page.get_by_role("complementary", name="People")
    expect(people.get_by_role("button", name="You English new messages")).to_be_visible()
    people.get_by_role("button", name=re.compile("^You ")).click()
    expect(chat.message("News for you")).to_be_visible()
    expect(chat.message("Привет")).to_have_count(0)
    with chat.page.expect_response("**/sandbox/chats"):
        pass
    expect(people.get_by_role("button", name="new messages")).to_have_count(0)

    people.get_by_role("button", name="Change You").click()
    form = chat.page.get_by_role("dialog", name="Change this person")
    form.get_by_label("Username").fill("you_know")
    form.get_by_role("button", name="Save").click()
    expect(people.get_by_text("@you_know")).to_be_visible()
    chat.write("It is me")
    assert bot.hear()["text"] == "Это снова я"
    assert bot.hear()["from"].items() >= {"id": me, "username": "you_know"}.items()


def test_a_line_break_is_typed_with_shift_and_nothing_typed_is_taken_for_html(chat: Chat, bot: Bot) -> None:
    field = chat.page.get_by_role("textbox", name="Message")
    field.press_sequentially("<b>one</b>")
    field.press("Shift+Enter")
    field.press_sequentially("two")
    field.press("Enter")
    assert bot.hear()["text"] == "<b>one</b>\ntwo"
    expect(field).to_have_value("")
    expect(chat.message("<b>one</b>")).to_be_visible()
    expect(chat.log.locator("b")).to_have_count(0)


def test_a_photo_goes_with_its_caption_and_opens_in_full_size(chat: Chat, bot: Bot) -> None:
    dialog = chat.attach(COFFEE)
    dialog.get_by_label("Caption").fill("Make it tea")
    dialog.get_by_label("Caption").press("Enter")
    heard = bot.hear()
    assert heard["caption"] == "Make it tea"
    assert (heard["photo"][-1]["width"], heard["photo"][-1]["height"]) == (600, 400)
    expect(dialog).to_be_hidden()

    chat.page.get_by_role("button", name="Photo: Make it tea. Open").click()
    viewer = chat.page.get_by_role("dialog", name="Picture")
    picture = viewer.get_by_role("img")
    expect(picture).to_have_js_property("naturalWidth", 600)
    with chat.page.expect_download() as download:
        viewer.get_by_role("link", name="Download").click()
    assert download.value.path().read_bytes().startswith(b"\xff\xd8")
    chat.page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()


def test_a_file_arrives_byte_for_byte_under_its_name(chat: Chat, bot: Bot, server: TelegramServer) -> None:
    dialog = chat.attach(COFFEE)
    dialog.get_by_label("File", exact=True).check()
    dialog.get_by_role("button", name="Send").click()
    document = bot.hear()["document"]
    assert (document["file_name"], document["mime_type"]) == ("coffee.jpg", "image/jpeg")
    assert document["file_size"] == COFFEE.stat().st_size
    with chat.page.expect_download() as download:
        chat.page.get_by_role("link", name="Download coffee.jpg").click()
    assert download.value.path().read_bytes() == COFFEE.read_bytes()


@pytest.mark.parametrize(("choice", "kind"), [("Photo", "photo"), ("File", "document")])
def test_several_pictures_are_one_album(chat: Chat, bot: Bot, choice: str, kind: str) -> None:
    dialog = chat.attach(ASTRONAUT, COFFEE, ASTRONAUT)
    dialog.get_by_role("button", name="Leave astronaut.png out").first.click()
    expect(dialog.get_by_role("heading")).to_have_text("Send 2 photos")
    dialog.get_by_label(choice, exact=True).check()
    dialog.get_by_label("Caption").fill("Both")
    dialog.get_by_role("button", name="Send").click()
    first, second = bot.hear(), bot.hear()
    assert first[kind]
    assert second[kind]
    assert first["media_group_id"] == second["media_group_id"]
    assert (first["caption"], second.get("caption")) == ("Both", None)
    bubble = chat.message("Both")
    expect(bubble).to_have_count(1)
    expect(bubble.get_by_role("button", name=re.compile("Open"))).to_have_count(2)


def test_more_pictures_than_an_album_holds_go_in_several(chat: Chat, bot: Bot) -> None:
    files = [COFFEE] * 11
    dialog = chat.attach(*files)
    dialog.get_by_role("button", name="Send").click()
    heard = [bot.hear() for _ in files]
    assert len({item["media_group_id"] for item in heard[:10]}) == 1
    assert "media_group_id" not in heard[10]


def test_pictures_can_be_pasted_and_dropped(chat: Chat, bot: Bot) -> None:
    bring = """(target, {type, member}) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File(["no picture"], "notes.txt", {type: "text/plain"}));
        const event = new Event(type, {bubbles: true, cancelable: true});
        target.dispatchEvent(Object.defineProperty(event, member, {value: transfer}));
    }"""
    field = chat.page.get_by_role("textbox", name="Message")
    for target, event in ((field, ("paste", "clipboardData")), (chat.log, ("drop", "dataTransfer"))):
        target.evaluate(bring, {"type": event[0], "member": event[1]})
        dialog = chat.page.get_by_role("dialog", name="Send a file")
        expect(dialog.get_by_label("Photo", exact=True)).to_be_disabled()
        dialog.get_by_role("button", name="Send").click()
        assert bot.hear()["document"]["file_name"] == "notes.txt"
        expect(dialog).to_be_hidden()


def test_the_sample_photo_is_one_press_away(chat: Chat, bot: Bot, me: int) -> None:
    chat.choose("Attach", "Send the sample photo")
    assert bot.hear()["photo"][-1]["width"] == 512


def test_buttons_are_pressed_and_their_answers_shown(chat: Chat, bot: Bot, me: int) -> None:
    sketch_button = {"text": "Sketch", "callback_data": "sketch", "style": "success"}
    rows = [
        [sketch_button, {"text": "Stop", "callback_data": "stop"}],
        [{"text": "Pay by card", "url": "http://127.0.0.1:1/pay"}],
        [{"text": "Code", "copy_text": {"text": "SPRING"}}],
    ]  # fmt: skip
    bot.call("sendMessage", chat_id=me, text="What now?", reply_markup={"inline_keyboard": rows})
    sketch = chat.page.get_by_role("button", name="Sketch")
    expect(sketch).to_have_class("success")
    sketch.click()
    expect(sketch).to_have_attribute("aria-busy", "true")
    query = bot.hear("callback_query")
    assert query["data"] == "sketch"
    bot.call("answerCallbackQuery", callback_query_id=query["id"], text="On it")
    wait_until(lambda: "On it" in chat.notes())
    expect(sketch).not_to_have_attribute("aria-busy", "true")

    chat.page.get_by_role("button", name="Stop").click()
    query = bot.hear("callback_query")
    bot.call("answerCallbackQuery", callback_query_id=query["id"], text="Too late", show_alert=True)
    alert = chat.page.get_by_role("dialog", name="QwenEdit")
    expect(alert).to_contain_text("Too late")
    alert.get_by_role("button", name="OK").click()

    link = chat.page.get_by_role("link", name="Pay by card")
    expect(link).to_have_attribute("href", "http://127.0.0.1:1/pay")
    expect(link).to_have_attribute("target", "_blank")
    chat.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    chat.page.get_by_role("button", name="Code").click()
    wait_until(lambda: "Copied" in chat.notes())
    assert chat.page.evaluate("navigator.clipboard.readText()") == "SPRING"


def test_an_invoice_is_paid_with_play_money_and_given_back(
    chat: Chat, bot: Bot, me: int, server: TelegramServer
) -> None:
    price = {"currency": "XTR", "prices": [{"label": "100 points", "amount": 50}]}
    described = {"title": "100 points", "description": "For thirty edits", "payload": "top-up"}
    bot.call("sendInvoice", chat_id=me, **described, **price)
    question = chat.page.get_by_role("dialog", name="Confirm the purchase")

    def pay() -> dict[str, Any]:
        chat.message("For thirty edits").get_by_role("button", name="Pay").click()
        expect(question).to_contain_text("100 points for ⭐50")
        expect(question).to_contain_text("play money")
        question.get_by_role("button", name="Pay ⭐50").click()
        return bot.hear("pre_checkout_query")

    bot.call("answerPreCheckoutQuery", pre_checkout_query_id=pay()["id"], ok=False, error_message="Sold out")
    refusal = chat.page.get_by_role("dialog", name="The payment did not go through")
    expect(refusal).to_contain_text("Sold out")
    refusal.get_by_role("button", name="OK").click()

    bot.call("answerPreCheckoutQuery", pre_checkout_query_id=pay()["id"], ok=True)
    payment = bot.hear()["successful_payment"]
    assert payment["total_amount"] == 50
    expect(chat.message("You paid ⭐50 in play money")).to_be_visible()
    expect(chat.message("For thirty edits").get_by_role("button", name="Paid")).to_be_disabled()

    charge = payment["telegram_payment_charge_id"]
    bot.call("refundStarPayment", user_id=me, telegram_payment_charge_id=charge)
    expect(chat.message("You got ⭐50 back")).to_be_visible()


def test_a_blocked_bot_hears_of_it_and_is_not_written_to(chat: Chat, bot: Bot, me: int) -> None:
    chat.choose("More actions", "Block the bot")
    assert bot.hear("my_chat_member")["new_chat_member"]["status"] == "kicked"
    expect(chat.page.get_by_role("textbox", name="Message")).to_be_hidden()
    chat.page.get_by_role("button", name="Unblock the bot").click()
    assert bot.hear("my_chat_member")["new_chat_member"]["status"] == "member"
    expect(chat.page.get_by_role("textbox", name="Message")).to_be_visible()


def test_messages_are_edited_answered_and_deleted(chat: Chat, bot: Bot, me: int) -> None:
    chat.about("Hello", "Edit")
    field = chat.page.get_by_role("textbox", name="Message")
    expect(field).to_have_value("Hello")
    field.fill("Hello there")
    field.press("Enter")
    assert bot.hear("edited_message")["text"] == "Hello there"
    expect(chat.message("Hello there")).to_contain_text("edited")

    bot.call("sendMessage", chat_id=me, text="What is your wish?")
    chat.message("What is your wish?").get_by_text("What is your wish?").hover()
    chat.page.mouse.down(button="right")
    chat.page.wait_for_timeout(100)  # as a hand does: the menu is asked for when the button goes down
    chat.page.mouse.up(button="right")
    chat.page.get_by_role("menuitem", name="Reply").click()
    chat.write("Make it blue")
    assert bot.hear()["reply_to_message"]["text"] == "What is your wish?"
    expect(chat.message("Make it blue")).to_contain_text("What is your wish?")

    chat.about("Hello there", "Delete for both")
    expect(chat.message("Hello there")).to_have_count(0)


def test_commands_and_the_keyboard_of_the_bot_are_offered(chat: Chat, bot: Bot, me: int) -> None:
    commands = [{"command": "balance", "description": "Points"}, {"command": "help", "description": "How"}]
    bot.call("setMyCommands", commands=commands)
    keyboard = {"keyboard": [["New edit", "Balance"]]}
    bot.call("sendMessage", chat_id=me, text="Choose", reply_markup=keyboard)
    keys = chat.page.get_by_role("group", name="Keyboard of the bot")
    keys.get_by_role("button", name="New edit").click()
    assert bot.hear()["text"] == "New edit"

    chat.page.get_by_role("button", name="Menu").click()
    chat.page.get_by_role("button", name="/balance Points").click()
    assert bot.hear()["text"] == "/balance"
    chat.page.get_by_role("textbox", name="Message").fill("/he")
    offered = chat.page.get_by_role("group", name="Commands of the bot").get_by_role("button")
    expect(offered).to_have_text(["/helpHow"])

    bot.call("sendMessage", chat_id=me, text="Done", reply_markup={"remove_keyboard": True})
    expect(keys).to_be_hidden()


def test_everything_else_one_can_send_and_a_reaction(chat: Chat, bot: Bot, me: int) -> None:
    for item, kind in (("a sticker", "sticker"), ("a voice message", "voice"), ("a location", "location")):
        chat.choose("More actions", f"Send {item}")
        assert kind in bot.hear()
    message_id = chat.message("Hello").get_attribute("data-id")
    reaction = [{"type": "emoji", "emoji": "👍"}]
    bot.call("setMessageReaction", chat_id=me, message_id=message_id, reaction=reaction)
    expect(chat.message("Hello").get_by_label("Reactions: 👍")).to_be_visible()

    chat.choose("More actions", "Deliver the last update again")
    assert "location" in bot.hear()


def test_an_invitation_is_followed_by_whoever_one_chooses(chat: Chat, bot: Bot, me: int) -> None:
    bot.call("sendMessage", chat_id=me, text="Invite: https://t.me/qwenedit_bot?start=ref_7")
    chat.page.get_by_role("link", name="https://t.me/qwenedit_bot?start=ref_7").click()
    chat.page.get_by_role("dialog", name="Who follows this link?").get_by_text("New person").click()
    form = chat.page.get_by_role("dialog", name="New person")
    form.get_by_label("Name", exact=True).fill("Bob")
    form.get_by_role("button", name="Save").click()
    heard = bot.hear()
    assert (heard["text"], heard["from"]["first_name"]) == ("/start ref_7", "Bob")


def test_what_the_stand_in_refuses_is_said(chat: Chat, server: TelegramServer) -> None:
    dialog = chat.attach(FilePayload(name="broken.jpg", mimeType="image/jpeg", buffer=b"no picture"))
    dialog.get_by_role("button", name="Send").click()
    expect(dialog.get_by_role("alert")).not_to_be_empty()
    dialog.get_by_role("button", name="Cancel").click()

    chat.choose("More actions", "Deliver the last update again")
    error = chat.page.get_by_role("alert")
    expect(error).to_contain_text("update")
    error.get_by_role("button", name="Close").click()
    expect(error).to_be_hidden()


def test_a_lost_connection_is_told_and_taken_up_again(
    chat: Chat, bot: Bot, me: int, server: TelegramServer
) -> None:
    server.stop()
    lost = chat.page.get_by_text("The stand-in does not answer, trying again")
    expect(lost).to_be_visible()
    chat.write("Is anybody there?")
    expect(chat.page.get_by_role("textbox", name="Message")).to_have_value("Is anybody there?")
    server.restart()
    expect(lost).to_be_hidden()
    expect(chat.message("Hello")).to_have_count(0)  # it keeps nothing over a restart
    chat.page.get_by_role("textbox", name="Message").press("Enter")
    assert Bot(server).hear()["from"].items() >= {"id": me, "first_name": "You"}.items()


def test_a_stand_in_that_began_anew_meanwhile_is_shown_as_it_is_now(
    chat: Chat, bot: Bot, me: int, server: TelegramServer
) -> None:
    chat.write("Second")
    expect(chat.message("Second")).to_be_visible()
    polls = re.compile(r"/sandbox/chats/\d+")
    chat.page.route(polls, lambda route: route.abort())
    chat.write("Third")  # ends the poll under way; whether that one still shows it is a race of no interest
    expect(chat.page.get_by_text("The stand-in does not answer, trying again")).to_be_visible()
    server.act("reset")
    server.act("message", user_id=me, text="From another window")
    chat.page.unroute(polls)
    expect(chat.message("From another window")).to_be_visible()
    expect(chat.message("Second")).to_have_count(0)


def test_a_bot_that_does_not_run_is_noticed(page: Page, server: TelegramServer) -> None:
    page.clock.install()
    page.goto(server.url)
    page.get_by_role("button", name="Start", exact=True).click()
    hint = page.get_by_text("The bot does not fetch its messages. Does it run?")
    expect(Chat(page).message("/start")).to_be_visible()
    for _ in range(2):
        with page.expect_response("**/sandbox/state"):
            page.clock.run_for(4000)
    expect(hint).to_be_visible()


def test_html_the_page_does_not_know_stays_text(chat: Chat, bot: Bot, me: int) -> None:
    html = (
        "<b>kept</b> <script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'>"
        "<a href='javascript:window.hurt = 1'>link</a><tg-spoiler>secret</tg-spoiler>"
    )

    def poison(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        body["messages"][-1]["html"] = html
        route.fulfill(response=answer, body=json.dumps(body))

    bot.call("sendMessage", chat_id=me, text="anything")
    chat.page.route(re.compile(r"/sandbox/chats/\d+(\?|$)"), poison)
    chat.page.reload()
    bubble = chat.message("kept")
    expect(bubble.locator("b")).to_have_text("kept")
    expect(bubble.locator("script, .text img, [onerror], a[href]")).to_have_count(0)
    bubble.get_by_role("button", name="Hidden text, press to show").click()
    expect(bubble.get_by_text("secret")).to_be_visible()
    assert chat.page.evaluate("window.hurt") is None
    chat.page.unroute_all(behavior="ignoreErrors")  # the poll that waits for news


def test_on_a_phone_people_are_switched_in_a_dialog(chat: Chat, bot: Bot, me: int) -> None:
    chat.page.set_viewport_size({"width": 390, "height": 844})
    expect(chat.page.get_by_role("complementary", name="People")).to_be_hidden()
    bot.call("sendMessage", chat_id=me, text="word " * 100 + "x" * 300)
    expect(chat.message("word word")).to_be_visible()
    assert chat.page.evaluate("document.documentElement.scrollWidth") == 390
    chat.page.get_by_role("button", name="You are You. Switch").click()
    chat.page.get_by_role("dialog", name="Who are you?").get_by_text("New person").click()
    form = chat.page.get_by_role("dialog", name="New person")
    form.get_by_label("Name", exact=True).fill("Bob")
    form.get_by_role("button", name="Save").click()
    expect(chat.page.get_by_role("button", name="You are Bob. Switch")).to_be_visible()
    expect(chat.page.get_by_role("button", name="Start", exact=True)).to_be_visible()

"""How the buyer's page looks, in Russian and English. Knows a payment, and nothing of what the buttons do."""

from html import escape

from qwenedit.sandbox.yookassa.records import Payment, money

SECONDS_BEFORE_RETURN = 2
SIGNS = {"RUB": "₽", "USD": "$", "EUR": "€"}
BUTTONS = {
    "bank_card": ("Оплатить картой", "Pay by card"),
    "sbp": ("Оплатить через СБП", "Pay by SBP"),
    "yoo_money": ("Оплатить из кошелька ЮMoney", "Pay by YooMoney"),
}
STATES = {
    "pending": ("Ожидает оплаты", "Waiting for payment", "⏳"),
    "waiting_for_capture": ("Деньги заблокированы", "The money is on hold", "✓"),
    "succeeded": ("Оплачено", "Paid", "✓"),
    "canceled": ("Платёж отменён", "The payment is canceled", "✕"),
}
REASONS = {
    "insufficient_funds": ("Недостаточно средств", "Insufficient funds"),
    "expired_on_confirmation": ("Время на оплату истекло", "The time to pay has run out"),
}
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #6b3ff0; }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  font: 16px/1.45 system-ui, sans-serif; background: Canvas; color: CanvasText; }
main { width: min(26rem, 100%); border: 1px solid var(--line); border-radius: 1rem; padding: 1.5rem; }
.badge { display: inline-block; padding: .2rem .6rem; border-radius: 99px; background: #f5a623;
  color: #221600; font-size: .8rem; font-weight: 700; }
h1 { margin: 1rem 0 0; font-size: 2.2rem; font-variant-numeric: tabular-nums; }
p { margin: .3rem 0 1.2rem; overflow-wrap: anywhere; }
small { display: block; opacity: .7; font-weight: 400; }
button, a.button { display: block; width: 100%; margin: .6rem 0 0; padding: .7rem 1rem; border-radius: .7rem;
  border: 1px solid var(--line); background: var(--soft); color: inherit; font: inherit; font-weight: 600;
  text-align: center; text-decoration: none; cursor: pointer; }
button.pay, a.button { background: var(--accent); border-color: var(--accent); color: #fff; }
button:focus-visible, a:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
hr { border: 0; border-top: 1px solid var(--line); margin: 1.2rem 0 .6rem; }
.state { font-size: 1.1rem; font-weight: 600; }
code { font-size: .75rem; opacity: .6; overflow-wrap: anywhere; }
"""
FRAME = """<!doctype html>
<html lang="ru">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
{refresh}<title>{title}</title>
<style>{style}</style>
</head>
<body><main>
<span class="badge">SANDBOX – no real money</span>
<small>Песочница: деньги не списываются</small>
{content}
</main></body>
</html>
"""


def render(payment: Payment, methods: list[str], return_url: str) -> str:
    """Return the page: the choice while a payment is pending by one of `methods`, else what came of it."""
    value = money(payment.amount, payment.currency)["value"].replace(".", ",")
    amount = f"{value} {SIGNS.get(payment.currency, payment.currency)}"
    content = [f"<h1>{escape(amount)}</h1>", f"<p>{escape(payment.description or '')}</p>"]
    is_done = payment.status != "pending"
    content += _outcome(payment, return_url) if is_done else _form(methods)
    content.append(f"<p><code>{escape(payment.id)}</code></p>")
    refresh = ""
    if is_done and return_url:
        refresh = f'<meta http-equiv="refresh" content="{SECONDS_BEFORE_RETURN};url={escape(return_url)}">\n'
    return FRAME.format(
        refresh=refresh, title=f"{escape(amount)} · Sandbox", style=STYLE, content="\n".join(content)
    )


def render_missing() -> str:
    """Return the page for a payment that does not exist."""
    content = "<h1>404</h1>\n<p>Платёж не найден<small>There is no such payment</small></p>"
    return FRAME.format(refresh="", title="404 · Sandbox", style=STYLE, content=content)


def _form(methods: list[str]) -> list[str]:
    return [
        '<form method="post">',
        *(_button(method, *BUTTONS[method], css="pay") for method in methods),
        "<hr>",
        _button("decline", "Отклонить: недостаточно средств", "Decline (insufficient funds)"),
        _button("expire", "Не платить, пока не истечёт время", "Let it expire"),
        "</form>",
    ]


def _outcome(payment: Payment, return_url: str) -> list[str]:
    russian, english, sign = STATES[payment.status]
    lines = [f'<p class="state">{sign} {russian}<small>{english}</small></p>']
    reason = (payment.cancellation or {}).get("reason", "")
    if reason:
        russian, english = REASONS.get(reason, (reason, reason))
        lines.append(f"<p>{escape(russian)}<small>{escape(english)}</small></p>")
    if return_url:
        label = "Вернуться в магазин<small>Back to the shop</small>"
        lines.append(f'<a class="button" href="{escape(return_url)}">{label}</a>')
    return lines


def _button(choice: str, russian: str, english: str, css: str = "") -> str:
    kind = f' class="{css}"' if css else ""
    return f'<button{kind} name="choice" value="{choice}">{russian}<small>{english}</small></button>'

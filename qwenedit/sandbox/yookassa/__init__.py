"""Offline stand-in of YooKassa's API v3: payments, refunds, notifications, the buyer's page; no money.

    __init__       this map
    cli            options and the process: `python -m qwenedit.sandbox yookassa`
    server         what one server consists of             middleware      journal, faults, access, refusals
    routes         the API over HTTP                       validation      is this request acceptable?
    payments       the life of a payment                   refunds         the life of a refund
    receipts       the rules of 54-FZ receipts             registration    what becomes of receipts
    idempotence    keys and kept answers                   lists           filters, pages, cursors
    checkout       the buyer's page                        checkout_page   how it looks
    webhooks       the sender of notifications             notifications   those that no event caused
    control        /sandbox/control, described             actions         what it can do
    faults         what can be made to go wrong, and how   journal         every request and its answer
    clock          time that can be put forward            shop            who is served, and its limits
    records        what is remembered, and its shapes      store           where: memory or a file
    errors         answers that say no

It must not import Django or any app of the project: it stands in for another machine.
Shapes and limits are those of the published OpenAPI specification. What YooKassa does not publish is as shops
report it, or the least convenient thing that may happen.
"""

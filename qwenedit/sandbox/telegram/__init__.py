"""Offline stand-in of Telegram: the Bot API, people who write to the bot, and their chats; no network.

    __init__       this map
    cli            options and the process: `python -m qwenedit.sandbox telegram`
    server         what one server consists of

The bot's side:

    routes         /bot<token>/<method> and /file           dispatch       a call, from its name to its answer
    parameters     query, form, JSON, multipart             methods/       those of the Bot API, by subject
    formatting     texts and captions, their limits         entities       offsets, detection, safe HTML
    html_mode      parse mode HTML                          markdown_mode  parse modes MarkdownV2 and Markdown
    markup         keyboards                                errors         answers that say no
    updates        the queue, and polling                   webhook        the sender of updates
    downloads      files that a bot names by URL

The people's side:

    client_routes  /sandbox/… and the chat page             act            /sandbox/act, described
    actions/       what people do, by subject               views          what people see
    queries        questions people's apps wait on          stars          payments and refunds
    static/        the chat page

The stand-in:

    chats          people, chats, messages, changes         files          ids, bytes, sizes of photos
    pictures       what Telegram does to a photo            shapes         files as messages show them
    faults         what can be made to go wrong, and how    limits         flood limits
    journal        every call and its answer                records        what is remembered
    store          where: memory or a file

It must not import Django or any app of the project: it stands in for another machine.
Rules and error texts are those of Telegram's own Bot API server, as far as they are published or reported.
"""

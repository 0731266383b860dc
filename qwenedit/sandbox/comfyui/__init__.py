"""Offline stand-in of ComfyUI 0.33: the same HTTP and WebSocket contract, no model behind it.

    __init__      this map
    cli           options and the process: `python -m qwenedit.sandbox comfyui`
    server        what one server consists of, and what a restart throws away
    middleware    access checks, faults of the transport
    routes        prompts, queue, history and jobs over HTTP; the table of routes
    pictures      uploads and downloads                information  what the server tells about itself
    connection    one WebSocket client                 events       all of them, and the messages for them
    validation    is this graph runnable?              catalogue    the node classes, as data
    worker        the execution thread                 prompt_queue queue and history
    execution     one prompt, from start to success    reports      what the world hears about it
    graph         order of nodes, cache signatures     nodes        what each node class does
    ready         one picture for every prompt
    filters       the honest substitute of the model   faults       what can be made to go wrong, and how
    files         input, output and temp folders       models       names of "installed" model files
    schema        what a node class is                 jobs         one view of queue and history

It must not import Django or any app of the project: it stands in for another machine.
Shapes, texts and orders of messages are those recorded from a real ComfyUI 0.33.0 server.
"""

"""The HTTP API, `/api/v1`: what programs ask, with an API key.

1. `app` finds the resource, and has `problems` write whatever goes wrong.
2. `caller` says whose key it is, and what it may ask; a resource that shows messages narrows it to its own.
3. A resource, a module each, asks the store and the daemon as pages do, and answers in fields of the status log.
4. `shapes` describes the answers, and `document` makes the OpenAPI document of all that.
"""

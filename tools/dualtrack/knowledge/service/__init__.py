"""The knowledge base as a service: people ask over HTTPS, with tokens, and each sees what they may see.

`api` speaks HTTP, OpenAI's and Dify's forms among it; `desk` answers; `people`, `records` and `limits` say who may ask,
note what was shown, and how much is too much.
"""

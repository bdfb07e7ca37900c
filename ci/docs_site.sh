#!/usr/bin/env bash
# Build the documentation site, English and Chinese, into build/site. A broken link ends it with exit code 1.
set -euo pipefail
cd "$(dirname "$0")/.."
work=build/docs-site
rm -rf "$work" build/site
python3=.venv/bin/python
"$python3" ci/docs_site.py prepare "$work"
for language in en zh; do
    log=$work/$language.log
    if ! NO_COLOR=1 ci/tool.sh docs-site:zensical build --strict --config-file "$work/$language/zensical.toml" >"$log" 2>&1; then
        sed '/^Traceback/,$d' "$log" >&2 # the rest says only that --strict ended it
        exit 1
    fi
done
mv "$work/en/site" build/site
mv "$work/zh/site" build/site/zh
"$python3" ci/docs_site.py check build/site
echo "build/site: $(find build/site -name '*.html' | wc -l) pages"

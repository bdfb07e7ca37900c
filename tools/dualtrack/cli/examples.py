"""Examples in the help of the commands that people need most; a test holds them against the commands."""

from __future__ import annotations

#: The path of a command, and how it is called.
EXAMPLES = {
    "up": "dualtrack up --facts facts.yml",
    "init": "dualtrack init --host gpu-1=192.0.2.11,roles=gpu+serving,gpus=8 --dry-run",
    "status": "dualtrack status --format wide",
    "explain": "dualtrack explain hosts.gpus",
    "verify": "dualtrack verify --role slurm --limit 'cloud-*'",
    "play": "dualtrack play people --dry-run",
    "ssh": "dualtrack ssh gateway-1 -- uptime",
    "logs": "dualtrack logs gateway-1 haproxy --since 2h",
    "events": "dualtrack events --since 1d",
    "drift": "dualtrack drift --stack aws --no-hosts",
    "inventory": "dualtrack inventory --format yaml --file hosts.yml",
    "state backup": "dualtrack state backup state.sealed -r vault.pub --include /srv/dualtrack",
    "cloud bootstrap": "dualtrack cloud bootstrap --stack aws --dry-run",
    "cloud up": "dualtrack cloud up --stack aws",
    "cloud plan": "dualtrack cloud plan --stack aws",
    "local up": "dualtrack local up --facts facts.yml",
    "failover drain": "dualtrack failover drain gpu-1",
    "pools status": "dualtrack pools status --stack aws",
    "spot plan": "dualtrack spot plan --demand 08-20=16,20-08=32 --live",
    "spot apply": "dualtrack spot apply --demand 16 --dry-run",
    "pools watch": "dualtrack pools watch --ceiling 1400 --dry-run",
    "cost report": "dualtrack cost report --stack aws",
    "serving chat": 'dualtrack serving chat "What is a checkpoint?"',
    "serving key add": "dualtrack serving key add research --requests-per-minute 60",
    "kb ingest": "dualtrack kb ingest handbook/ --collection hr --acl group:staff",
    "kb ask": 'dualtrack kb ask "How many days of leave are there?" --as alice',
    "store pull": "dualtrack store pull s3://BUCKET/llama@v1 --budget 400GB",
    "seal new": "dualtrack seal new weights/ -o weights.sealed -r vault.pub",
    "unseal": "dualtrack unseal weights.sealed -o weights -i vault.key",
    "access break-glass": 'dualtrack access break-glass alice --minutes 30 --reason "restore the search store"',
    "audit verify": "dualtrack audit verify trail/ --key host.pub --anchors anchors.txt",
    "mirror build": "dualtrack mirror build --dest /media/disk/mirror",
}

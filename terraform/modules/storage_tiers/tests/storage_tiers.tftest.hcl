# Plans only. What provider 3.39 asks of EC2 when it starts (and does without) goes to a port where nothing listens: no
# test waits for an account.
provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  max_retries                 = 1
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true

  endpoints {
    ec2 = "http://127.0.0.1:9"
  }
}

variables {
  deployment = "test"
  suffix     = "111122223333"
  classes = {
    checkpoints = { ia_days = 30, deep_archive_days = 90, noncurrent_days = 30 }
    audit       = { deep_archive_days = 1 }
  }
}

run "what_is_made_by_default" {
  command = plan

  assert {
    condition = { for t in aws_s3_bucket.this["checkpoints"].lifecycle_rule[0].transition : t.storage_class => t.days } == {
      STANDARD_IA  = 30
      DEEP_ARCHIVE = 90
    }
    error_message = "both tiers, after the days that were written"
  }

  assert {
    condition = (
      { for t in aws_s3_bucket.this["audit"].lifecycle_rule[0].transition : t.storage_class => t.days } == { DEEP_ARCHIVE = 1 } &&
      length(aws_s3_bucket.this["audit"].lifecycle_rule[0].noncurrent_version_expiration) == 0
    )
    error_message = "a tier that is left out is not there, and replaced versions stay unless a number says otherwise"
  }

  assert {
    condition     = alltrue([for b in aws_s3_bucket.this : b.lifecycle_rule[0].abort_incomplete_multipart_upload_days == 7])
    error_message = "incomplete uploads are aborted"
  }

  assert {
    condition = alltrue([
      for b in aws_s3_bucket.this : b.versioning[0].enabled && !b.force_destroy &&
      b.server_side_encryption_configuration[0].rule[0].apply_server_side_encryption_by_default[0].sse_algorithm == "AES256"
    ])
    error_message = "versioned, encrypted, and not deleted with what is in it"
  }

  assert {
    condition = alltrue([
      for b in aws_s3_bucket_public_access_block.this :
      b.block_public_acls && b.block_public_policy && b.ignore_public_acls && b.restrict_public_buckets
    ])
    error_message = "no bucket is public"
  }
}

run "versions_never_change" {
  command = plan

  variables {
    classes = { checkpoints = {}, weights = { write_once = true } }
  }

  assert {
    condition = {
      for class, p in aws_s3_bucket_policy.this : class => [for s in jsondecode(p.policy).Statement : [s.Effect, s.Principal, s.Action, s.Resource] if s.Sid == "CreateOnce"]
      } == {
      checkpoints = [["Deny", "*", "s3:PutObject", "arn:aws:s3:::test-checkpoints-111122223333/*/.dualtrack-manifest.json"]]
      weights     = [["Deny", "*", "s3:PutObject", "arn:aws:s3:::test-weights-111122223333/*"]]
    }
    error_message = "manifests in every bucket, all objects where it is said, and for everybody"
  }

  # Both conditions must hold for a refusal; without the second, no upload in parts could begin.
  assert {
    condition = alltrue([
      for p in aws_s3_bucket_policy.this : alltrue([
        for s in jsondecode(p.policy).Statement : s.Condition == {
          Null = { "s3:if-none-match" = "true" }
          Bool = { "s3:ObjectCreationOperation" = "true" }
        } if s.Sid == "CreateOnce"
      ])
    ])
    error_message = "what creates an object without `If-None-Match` is refused"
  }

  assert {
    condition = [
      for s in jsondecode(aws_s3_bucket_policy.this["weights"].policy).Statement : [s.Effect, slice(s.Action, 0, 2), s.Condition] if s.Sid == "NodesDeleteNothing"
    ] == [["Deny", ["s3:DeleteObject", "s3:DeleteObjectVersion"], { ArnLike = { "aws:PrincipalArn" = "arn:aws:iam::*:role/test-*-node" } }]]
    error_message = "no node deletes, and then creates anew"
  }

  assert {
    condition     = alltrue([for p in aws_s3_bucket_policy.this : contains([for s in jsondecode(p.policy).Statement : s.Sid], "TlsOnly")])
    error_message = "and TLS only, as before"
  }
}

run "own_key" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:111122223333:key/1"
  }

  assert {
    condition     = aws_s3_bucket.this["audit"].server_side_encryption_configuration[0].rule[0].apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms"
    error_message = "the operator's own key is used"
  }
}

run "archive_too_soon_after_ia" {
  command = plan

  variables {
    classes = { weights = { ia_days = 30, deep_archive_days = 45 } }
  }

  expect_failures = [var.classes]
}

run "archive_breaks_the_recovery_budget" {
  command = plan

  variables {
    classes = { weights = { ia_days = 30, deep_archive_days = 90, recovery_hours = 4 } }
  }

  expect_failures = [var.classes]
}

run "recovery_budget_without_archive" {
  command = plan

  variables {
    classes = { weights = { ia_days = 30, recovery_hours = 4 } }
  }

  assert {
    condition     = aws_s3_bucket.this["weights"].tags["dualtrack:recovery-hours"] == "4"
    error_message = "the budget stands on the bucket"
  }
}

run "ia_too_soon" {
  command = plan

  variables {
    classes = { weights = { ia_days = 7 } }
  }

  expect_failures = [var.classes]
}

run "bad_class_name" {
  command = plan

  variables {
    classes = { "Model Weights" = {} }
  }

  expect_failures = [var.classes]
}

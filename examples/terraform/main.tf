# A function with what belongs to it. `function.zip` beside this file holds app.py with a function `handler`.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

provider "aws" {
  s3_use_path_style = true # the bucket goes into the path: its name need not be found in DNS
}

variable "stage" {
  default = "one"
}

resource "aws_iam_role" "worker" {
  name = "terraform-worker"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "lambda.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy_attachment" "logs" {
  role       = aws_iam_role.worker.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_iam_policy" "read" {
  name = "terraform-read"
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "s3:GetObject", Resource = "${aws_s3_bucket.inbox.arn}/*" }]
  })
}

resource "aws_iam_role_policy_attachment" "read" {
  role       = aws_iam_role.worker.name
  policy_arn = aws_iam_policy.read.arn
}

resource "aws_iam_role_policy" "invoke" {
  name = "invoke"
  role = aws_iam_role.worker.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "lambda:InvokeFunction", Resource = "*" }]
  })
}

resource "aws_cloudwatch_log_group" "worker" {
  name              = "/aws/lambda/terraform-worker"
  retention_in_days = 7
}

resource "aws_lambda_layer_version" "library" {
  layer_name          = "terraform-library"
  filename            = "function.zip"
  source_code_hash    = filebase64sha256("function.zip")
  compatible_runtimes = ["python3.11", "python3.12"]
}

resource "aws_lambda_layer_version_permission" "library" {
  layer_name     = aws_lambda_layer_version.library.layer_name
  version_number = aws_lambda_layer_version.library.version
  statement_id   = "partner"
  principal      = "111122223333"
  action         = "lambda:GetLayerVersion"
}

resource "aws_lambda_function" "worker" {
  function_name                  = "terraform-worker"
  role                           = aws_iam_role.worker.arn
  runtime                        = "python3.11"
  handler                        = "app.handler"
  filename                       = "function.zip"
  source_code_hash               = filebase64sha256("function.zip")
  publish                        = true
  timeout                        = 5
  memory_size                    = 256
  reserved_concurrent_executions = 5
  layers                         = [aws_lambda_layer_version.library.arn]
  tags                           = { stage = var.stage }
  environment {
    variables = { STAGE = var.stage }
  }
  ephemeral_storage {
    size = 1024
  }
  logging_config {
    log_format            = "JSON"
    application_log_level = "INFO"
    system_log_level      = "WARN"
  }
  depends_on = [aws_cloudwatch_log_group.worker]
}

resource "aws_lambda_alias" "live" {
  name             = "live"
  function_name    = aws_lambda_function.worker.function_name
  function_version = aws_lambda_function.worker.version
}

resource "aws_lambda_provisioned_concurrency_config" "live" {
  function_name                     = aws_lambda_alias.live.function_name
  qualifier                         = aws_lambda_alias.live.name
  provisioned_concurrent_executions = 1
}

resource "aws_lambda_function_event_invoke_config" "live" {
  function_name                = aws_lambda_alias.live.function_name
  qualifier                    = aws_lambda_alias.live.name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 120
  destination_config {
    on_failure {
      destination = aws_lambda_function.failures.arn
    }
  }
}

resource "aws_lambda_function_url" "live" {
  function_name      = aws_lambda_alias.live.function_name
  qualifier          = aws_lambda_alias.live.name
  authorization_type = "NONE"
  cors {
    allow_origins = ["*"]
    max_age       = 60
  }
}

resource "aws_s3_bucket" "inbox" {
  bucket        = "terraform-inbox"
  force_destroy = true
  tags          = { stage = var.stage }
}

resource "aws_s3_bucket_public_access_block" "inbox" {
  bucket                  = aws_s3_bucket.inbox.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_lambda_permission" "inbox" {
  statement_id  = "inbox"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_alias.live.function_name
  qualifier     = aws_lambda_alias.live.name
  principal     = "s3.amazonaws.com"
  source_arn    = aws_s3_bucket.inbox.arn
}

resource "aws_s3_bucket_notification" "inbox" {
  bucket = aws_s3_bucket.inbox.id
  lambda_function {
    lambda_function_arn = aws_lambda_alias.live.arn
    events              = ["s3:ObjectCreated:*"]
    filter_prefix       = "new/"
  }
  depends_on = [aws_lambda_permission.inbox]
}

resource "aws_s3_object" "code" {
  bucket = aws_s3_bucket.inbox.id
  key    = "function.zip"
  source = "function.zip"
  etag   = filemd5("function.zip")
}

resource "aws_signer_signing_profile" "release" {
  platform_id = "AWSLambda-SHA384-ECDSA"
  name        = "terraform_release"
}

resource "aws_lambda_code_signing_config" "release" {
  allowed_publishers {
    signing_profile_version_arns = [aws_signer_signing_profile.release.version_arn]
  }
  policies {
    untrusted_artifact_on_deployment = "Warn"
  }
}

resource "aws_lambda_function" "failures" {
  function_name           = "terraform-failures"
  role                    = aws_iam_role.worker.arn
  runtime                 = "python3.11"
  handler                 = "app.handler"
  s3_bucket               = aws_s3_object.code.bucket
  s3_key                  = aws_s3_object.code.key
  code_signing_config_arn = aws_lambda_code_signing_config.release.arn
}

resource "aws_lambda_runtime_management_config" "failures" {
  function_name     = aws_lambda_function.failures.function_name
  update_runtime_on = "FunctionUpdate"
}

resource "aws_lambda_function_recursion_config" "failures" {
  function_name  = aws_lambda_function.failures.function_name
  recursive_loop = "Allow"
}

resource "aws_ecr_repository" "images" {
  name         = "terraform-images"
  force_delete = true
}

resource "aws_lambda_invocation" "live" {
  function_name = aws_lambda_alias.live.function_name
  qualifier     = aws_lambda_alias.live.name
  input         = jsonencode({ name = "Ada" })
  triggers      = { version = aws_lambda_function.worker.version }
}

output "answer" {
  value = jsondecode(aws_lambda_invocation.live.result)
}

output "url" {
  value = aws_lambda_function_url.live.function_url
}

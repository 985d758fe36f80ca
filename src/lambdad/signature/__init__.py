"""Signatures of packages, in the format of AWS Signer for Lambda: made by `services/signer`, checked by `services/lambda_`."""

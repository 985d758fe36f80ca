"""An .xls put into a bucket becomes a .csv beside it, with a column more.

Trigger: ObjectCreated events for keys that end in .xls. Needs a layer with pandas and xlrd; boto3 comes with the runtime.
"""

import io
import os
from urllib.parse import unquote_plus

import boto3
import pandas

s3 = boto3.client("s3")


def lambda_handler(event, context):
    written = [convert(record["s3"]) for record in event["Records"]]
    return {"written": written}


def convert(s3_record):
    bucket = s3_record["bucket"]["name"]
    key = unquote_plus(s3_record["object"]["key"])
    print(f"Reading s3://{bucket}/{key}")

    workbook = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    table = pandas.read_excel(io.BytesIO(workbook), engine="xlrd")
    table["projectmanager"] = os.environ.get("PROJECT_MANAGER", "unassigned")
    print(table)

    csv_key = f"update_{key}.csv"
    csv_path = os.path.join("/tmp", os.path.basename(csv_key))
    table.to_csv(csv_path, index=False)
    s3.upload_file(csv_path, bucket, csv_key)
    os.remove(csv_path)
    print(f"Wrote s3://{bucket}/{csv_key}")
    return csv_key

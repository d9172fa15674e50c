//! The flags that name the bucket and say how patient to be; the same for both tools.

use std::time::Duration;

use common::exit::{Exit, Failure};

/// Where the objects are.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// Bucket
    #[arg(long, value_name = "NAME", env = "S3_BUCKET_NAME")]
    pub bucket: Option<String>,

    /// What our keys begin with; a slash is added at its end when there is none
    #[arg(long, value_name = "PREFIX", env = "S3_BACKUP_PREFIX", default_value = "backups/", value_parser = prefix)]
    pub prefix: String,

    /// Region of the bucket [default: as the AWS profile says]
    #[arg(long, value_name = "REGION", env = "AWS_REGION")]
    pub region: Option<String>,

    /// Address of an S3 server that is not Amazon's, as in https://s3.example.com:9000. Keys then follow the bucket in
    /// the path
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL_S3")]
    pub endpoint_url: Option<String>,

    /// Try one request again for so long: on connect errors, resets, time-outs, 500, 502, 503 and SlowDown
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = common::values::duration)]
    pub retry_for: Duration,

    /// Take a transfer of which not a byte has moved for so long as dead
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = common::values::duration)]
    pub stall_timeout: Duration,
}

impl Place {
    /// Address of the server. One with a password in it is refused, and not repeated: it would go into logs and journals.
    pub fn endpoint(&self) -> anyhow::Result<Option<String>> {
        let authority = |url: &str| {
            let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
            rest.split(['/', '?', '#']).next().unwrap_or_default().contains('@')
        };
        if self.endpoint_url.as_deref().is_some_and(authority) {
            return Err(Failure::new(Exit::Usage, "the address of the server has a user or a password in it")
                .hint("leave it out of --endpoint-url; credentials go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
                .into());
        }
        Ok(self.endpoint_url.clone())
    }

    /// The bucket, or what to do about it.
    pub fn bucket(&self) -> anyhow::Result<&str> {
        self.bucket.as_deref().ok_or_else(|| {
            Failure::new(Exit::Usage, "no bucket is named")
                .hint("name it with --bucket or S3_BUCKET_NAME")
                .into()
        })
    }
}

/// A prefix that ends with a slash, or nothing.
pub fn prefix(text: &str) -> Result<String, String> {
    Ok(if text.is_empty() || text.ends_with('/') { text.to_owned() } else { format!("{text}/") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_with_a_slash_or_is_nothing() {
        assert_eq!(prefix("backups").unwrap(), "backups/");
        assert_eq!(prefix("backups/").unwrap(), "backups/");
        assert_eq!(prefix("").unwrap(), "");
    }

    #[test]
    fn a_password_in_the_address_is_refused_and_not_repeated() {
        #[derive(clap::Parser)]
        struct Only {
            #[command(flatten)]
            place: Place,
        }
        let place = |url: &str| <Only as clap::Parser>::parse_from(["x", "--endpoint-url", url]).place;
        let error = format!("{:?}", place("https://user:s3cr3t@s3.example.com/x").endpoint().unwrap_err());
        assert!(!error.contains("s3cr3t"), "{error}");
        place("https://s3.example.com:9000/@x").endpoint().unwrap();
    }
}

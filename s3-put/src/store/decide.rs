//! What to do about a failed request: pure, so that every case can be tested.

use chrono::{DateTime, Utc};

use super::facts::Stage;
pub use super::facts::{Facts, Stage as Reached};
use super::{Kind, Trouble};

/// What can be left out for a server that does not know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// CRC64NVME in headers.
    Checksums,
    /// UNSIGNED-PAYLOAD: the checksum is signed, the body is not hashed again.
    Unsigned,
    /// If-None-Match on PutObject and CompleteMultipartUpload.
    Conditional,
}

/// What the requests of a run use; each is given up at most once, when the server refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    pub checksums: bool,
    pub unsigned: bool,
    pub conditional: bool,
}

impl Mode {
    pub const FULL: Self = Self { checksums: true, unsigned: true, conditional: true };

    /// Without one feature.
    #[must_use]
    pub fn without(mut self, feature: Feature) -> Self {
        match feature {
            Feature::Checksums => self.checksums = false,
            Feature::Unsigned => self.unsigned = false,
            Feature::Conditional => self.conditional = false,
        }
        self
    }
}

/// The next step.
#[derive(Debug, Clone)]
pub enum Action {
    /// The same request again, after a pause.
    Retry,
    /// Once more with fresh credentials.
    Refresh,
    /// Once more at another region or address.
    Redirect { region: Option<String>, address: Option<String> },
    /// Once more without something that this server does not know.
    Downgrade(Feature),
    /// No further attempt.
    Fail(Trouble),
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Asks, or removes.
    Plain,
    /// Carries content and uses what [`Mode`] says.
    Sends,
    /// CompleteMultipartUpload: as `Sends`, but what is damaged now is damaged at the server.
    Completes,
}

/// What the caller was about.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// As in "send part 3 of s3://b/k".
    pub what: &'a str,
    pub deed: Deed,
    pub mode: Mode,
    pub now: DateTime<Utc>,
}

const EXPIRED: [&str; 4] =
    ["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"];
const MOVED: [&str; 4] = [
    "PermanentRedirect",
    "TemporaryRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
];
const BUSY: [&str; 8] = [
    "SlowDown",
    "InternalError",
    "ServiceUnavailable",
    "RequestTimeout",
    "RequestTimeoutException",
    "Throttling",
    "TooManyRequests",
    "OperationAborted",
];
/// What arrived is not what was announced: it was damaged on the way, and may arrive whole the next time.
const DAMAGED: [&str; 5] =
    ["BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "IncompleteBody", "ChecksumMismatch"];
/// What the server says at the end of parts that it has not, or not as they were sent.
const LOST: [&str; 3] = ["InvalidPart", "InvalidPartOrder", "EntityTooSmall"];

/// The next step after a failure.
pub fn decide(facts: &Facts, about: About<'_>) -> Action {
    let fail = |kind, hint: &str| {
        let trouble = Trouble::new(kind, format!("{}: {}", about.what, describe(facts)));
        Action::Fail(if hint.is_empty() { trouble } else { trouble.hint(hint) })
    };
    match facts.stage {
        Stage::Connect | Stage::Sent => return Action::Retry,
        Stage::Build if facts.no_credentials => {
            return Action::Fail(no_credentials(about.what));
        }
        Stage::Build => return fail(Kind::Other, ""),
        Stage::Answered => {}
    }
    let code = facts.code.as_str();
    if EXPIRED.contains(&code) {
        return Action::Refresh;
    }
    if code == "RequestTimeTooSkewed" {
        return Action::Fail(skew(facts, about));
    }
    if matches!(facts.status, 301 | 307 | 308) || MOVED.contains(&code) {
        let address = facts.location.as_deref().and_then(origin);
        if facts.region.is_none() && address.is_none() {
            return fail(Kind::Other, "set AWS_REGION to the region of the bucket");
        }
        return Action::Redirect { region: facts.region.clone(), address };
    }
    if (DAMAGED.contains(&code) || LOST.contains(&code)) && about.deed == Deed::Completes {
        return fail(Kind::Corrupt, "run it again: it begins anew");
    }
    if DAMAGED.contains(&code)
        || BUSY.contains(&code)
        || matches!(facts.status, 408 | 429 | 500 | 502 | 503 | 504)
    {
        return Action::Retry;
    }
    if code == "NoSuchBucket" {
        return fail(Kind::NoBucket, NO_BUCKET);
    }
    match facts.status {
        400 | 405 | 411 | 501 => match downgrade(facts, about) {
            Some(feature) => Action::Downgrade(feature),
            None if facts.status == 501 || facts.status == 405 => fail(Kind::Unsupported, ""),
            None if code == "InvalidToken" => fail(Kind::Credentials, CREDENTIALS),
            None => fail(Kind::Other, ""),
        },
        401 => fail(Kind::Credentials, CREDENTIALS),
        403 if matches!(code, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken") => {
            fail(Kind::Credentials, CREDENTIALS)
        }
        403 if code == "InvalidObjectState" => fail(
            Kind::Denied,
            "it is in an archive storage class: have it restored first (aws s3api restore-object), which takes hours",
        ),
        403 => fail(Kind::Denied, "look at the policies of the user and of the bucket for this action"),
        404 => fail(Kind::Missing, ""),
        409 | 412 => fail(Kind::Conflict, ""),
        // An answer of 200 whose body is an error without a code that we know, or one that cannot be read.
        200..=299 => Action::Retry,
        _ => fail(Kind::Other, ""),
    }
}

/// What to do about a bucket that is not there.
pub const NO_BUCKET: &str =
    "make the bucket, or correct S3_BUCKET_NAME (--bucket), AWS_REGION or --endpoint-url";

const CREDENTIALS: &str = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN or AWS_PROFILE";

/// Whether the server says that what arrived is not what was announced.
pub fn is_damage(facts: &Facts) -> bool {
    DAMAGED.contains(&facts.code.as_str())
}

/// The trouble of a run without credentials.
pub fn no_credentials(what: &str) -> Trouble {
    Trouble::new(
        Kind::NoCredentials,
        format!(
            "{what}: no credentials; tried the environment (AWS_ACCESS_KEY_ID), the profile (AWS_PROFILE, ~/.aws), SSO, \
             web identity, the ECS container and the EC2 instance"
        ),
    )
    .hint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the host a role")
}

fn describe(facts: &Facts) -> String {
    let Facts { status, code, message, .. } = facts;
    match (*status, code.as_str()) {
        (0, _) => message.clone(),
        (status, "") => format!("the server answered {status}"),
        (status, code) => format!("the server answered {status} {code}: {message}"),
    }
}

/// Which feature the refusal is about; the message decides where it says so, else what is newest goes first.
fn downgrade(facts: &Facts, about: About<'_>) -> Option<Feature> {
    if about.deed == Deed::Plain || !(facts.status == 501 || REFUSALS.contains(&facts.code.as_str())) {
        return None;
    }
    let Mode { checksums, unsigned, conditional } = about.mode;
    let text = format!("{} {}", facts.code, facts.message).to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| text.contains(w));
    let order = [
        (unsigned && says(&["content-sha256", "contentsha256", "unsigned"]), Feature::Unsigned),
        (checksums && says(&["checksum", "crc"]), Feature::Checksums),
        (conditional && says(&["none-match", "conditional", "precondition"]), Feature::Conditional),
        (conditional && facts.status == 501, Feature::Conditional),
        (checksums, Feature::Checksums),
        (unsigned, Feature::Unsigned),
        (conditional, Feature::Conditional),
    ];
    order.into_iter().find(|(fits, _)| *fits).map(|(_, feature)| feature)
}

/// Codes with which servers refuse a header that they do not know.
const REFUSALS: [&str; 8] = [
    "NotImplemented",
    "InvalidArgument",
    "InvalidRequest",
    "XAmzContentSHA256Mismatch",
    "MalformedXML",
    "MissingContentLength",
    "UnsupportedHeader",
    "",
];

fn skew(facts: &Facts, about: About<'_>) -> Trouble {
    let server = facts.date.as_deref().and_then(|d| DateTime::parse_from_rfc2822(d).ok());
    let difference = match server.map(|s| (about.now - s.with_timezone(&Utc)).num_seconds()) {
        Some(s) if s >= 0 => format!("our clock is {s} s ahead of the server's"),
        Some(s) => format!("our clock is {} s behind the server's", -s),
        None => "our clock differs from the server's".to_owned(),
    };
    Trouble::new(Kind::Skew, format!("{}: RequestTimeTooSkewed: {difference}", about.what))
        .hint("set the clock (chronyc makestep, timedatectl); nothing was sent")
}

/// Scheme and host of an absolute address.
fn origin(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://")?;
    let host = rest.split(['/', '?']).next().filter(|h| !h.is_empty() && !h.contains('@'))?;
    matches!(scheme, "http" | "https").then(|| format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str) -> Facts {
        Facts {
            stage: Stage::Answered,
            status,
            code: code.to_owned(),
            ..Facts::stalled("it said so".to_owned())
        }
    }

    fn about(deed: Deed, mode: Mode) -> About<'static> {
        let now = DateTime::parse_from_rfc3339("2026-11-20T12:10:00Z").unwrap().with_timezone(&Utc);
        About { what: "send k", deed, mode, now }
    }

    fn step(facts: &Facts) -> Action {
        decide(facts, about(Deed::Sends, Mode::FULL))
    }

    fn kind(facts: &Facts) -> Kind {
        match decide(facts, about(Deed::Plain, Mode::FULL)) {
            Action::Fail(trouble) => trouble.kind,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        for facts in [
            answer(500, "InternalError"),
            answer(502, ""),
            answer(503, "SlowDown"),
            answer(503, "ServiceUnavailable"),
            answer(200, "InternalError"),
            answer(400, "RequestTimeout"),
            answer(400, "BadDigest"),
            Facts::stalled("reset".to_owned()),
            Facts { stage: Stage::Connect, ..Facts::stalled("refused".to_owned()) },
        ] {
            assert!(matches!(step(&facts), Action::Retry), "{facts:?}");
        }
    }

    #[test]
    fn what_will_not_pass_is_not() {
        for (status, code, wanted) in [
            (403, "AccessDenied", Kind::Denied),
            (403, "InvalidAccessKeyId", Kind::Credentials),
            (401, "", Kind::Credentials),
            (404, "NoSuchBucket", Kind::NoBucket),
            (404, "NoSuchKey", Kind::Missing),
            (409, "ConditionalRequestConflict", Kind::Conflict),
            (412, "PreconditionFailed", Kind::Conflict),
            (400, "EntityTooSmall", Kind::Other),
            (501, "NotImplemented", Kind::Unsupported),
        ] {
            assert_eq!(kind(&answer(status, code)), wanted, "{status} {code}");
        }
    }

    #[test]
    fn a_skewed_clock_is_told_in_seconds() {
        let mut facts = answer(403, "RequestTimeTooSkewed");
        facts.date = Some("Fri, 20 Nov 2026 11:40:00 GMT".to_owned());
        let Action::Fail(trouble) = step(&facts) else { panic!() };
        assert_eq!(trouble.kind, Kind::Skew);
        assert_eq!(
            trouble.message,
            "send k: RequestTimeTooSkewed: our clock is 1800 s ahead of the server's"
        );
    }

    #[test]
    fn another_region_is_followed_where_the_answer_names_it() {
        let mut facts = answer(301, "PermanentRedirect");
        assert!(matches!(step(&facts), Action::Fail(_)));
        facts.region = Some("sa-east-1".to_owned());
        let Action::Redirect { region, address } = step(&facts) else { panic!() };
        assert_eq!((region.as_deref(), address), (Some("sa-east-1"), None));
        facts.location = Some("https://b.s3.sa-east-1.amazonaws.com/k?x".to_owned());
        let Action::Redirect { address, .. } = step(&facts) else { panic!() };
        assert_eq!(address.as_deref(), Some("https://b.s3.sa-east-1.amazonaws.com"));
    }

    #[test]
    fn each_feature_is_given_up_once_and_a_damaged_body_gives_up_none() {
        let mut mode = Mode::FULL;
        let mut given_up = Vec::new();
        while let Action::Downgrade(feature) =
            decide(&answer(400, "InvalidArgument"), about(Deed::Sends, mode))
        {
            given_up.push(feature);
            mode = mode.without(feature);
        }
        assert_eq!(given_up, [Feature::Checksums, Feature::Unsigned, Feature::Conditional]);
        let Action::Downgrade(first) = step(&answer(501, "NotImplemented")) else { panic!() };
        assert_eq!(first, Feature::Conditional);
        let Action::Downgrade(first) = step(&answer(400, "XAmzContentSHA256Mismatch")) else { panic!() };
        assert_eq!(first, Feature::Unsigned);
        assert!(matches!(step(&answer(400, "BadDigest")), Action::Retry));
        assert!(matches!(step(&answer(400, "EntityTooSmall")), Action::Fail(_)));
        let Action::Fail(damaged) = decide(&answer(400, "BadDigest"), about(Deed::Completes, Mode::FULL))
        else {
            panic!()
        };
        assert_eq!(damaged.kind, Kind::Corrupt);
    }
}

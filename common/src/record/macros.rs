//! How a record type is written down.

macro_rules! record {
    ($(#[$doc:meta])* $name:ident { $($(#[$field:meta])* $f:ident : $t:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub struct $name { $($(#[$field])* pub $f: $t),* }
    };
}

/// `skip_serializing_if` with a default, for fields that may be unknown.
macro_rules! optional_record {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$rf:meta])* $r:ident : $rt:ty,)*
        ;
        $($(#[$of:meta])* $o:ident : $ot:ty,)*
    }) => {
        record! { $(#[$doc])* $name {
            $($(#[$rf])* $r: $rt,)*
            $($(#[$of])* #[serde(default, skip_serializing_if = "Option::is_none")] $o: Option<$ot>,)*
        } }
    };
}

//! Values of the package's enumerations as words of the command line.

/// A clap enumeration for some values of one of the package's.
macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident of $proto:ident { $($variant:ident),+ $(,)? }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, clap::ValueEnum)]
        pub enum $name {
            $(#[allow(missing_docs)] $variant,)+
        }

        impl From<$name> for attestune_proto::v1::$proto {
            fn from(word: $name) -> Self {
                match word { $($name::$variant => Self::$variant,)+ }
            }
        }
    };
}

words! {
    /// Why a version is left, or a model halted.
    ReasonArg of RollbackReason { Quality, Safety, Compliance, Drill }
}
words! {
    /// What follows an alert.
    ActionArg of AlertAction { Watch, FalseAlarm, Fixed, RolledBack, Halted, Retrain }
}
words! {
    /// Why a person's data are erased.
    GroundArg of ErasureGround {
        NoLongerNeeded, ConsentWithdrawn, Objection, Unlawful, LegalObligation, Child,
    }
}
words! {
    /// What becomes of a version.
    DecisionArg of ErasureDecision { Keep, Retrain, Retire }
}
words! {
    /// What an outcome is.
    MetricArg of MetricKind { Proportion, Mean }
}

//! Coupons: a batch with a fixed count, and a state machine from issued to redeemed, each step once.
//!
//! The founding case of the house: coupons redeemed legally and far too often cost 2.37 million yuan.
//! The service keeps what it can know (count, member, days, once); how much money may be at stake in
//! a window is the gateway's budget, for which a redemption states its batch and face value.

#[cfg(feature = "grpc")]
pub mod grpc;
#[cfg(feature = "grpc")]
mod store;
#[cfg(test)]
mod tests;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// Bytes of a coupon id's digest: 96 bits, so that ids neither meet nor can be guessed without the key.
const ID_BYTES: usize = 12;

/// Largest value of one coupon, fen: 100,000 yuan.
const FACE_VALUE_FEN_MAX: i64 = 10_000_000;
/// Coupons in a batch.
const COUNT_MAX: i64 = 10_000_000;
/// Coupons of a batch for one member.
const PER_MEMBER_MAX: i64 = 1_000;

/// A batch of coupons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Name.
    pub batch_id: String,
    /// Value of one coupon, fen.
    pub face_value_fen: i64,
    /// Coupons in the batch.
    pub total_count: i64,
    /// Coupons for one member.
    pub per_member_max: i64,
    /// From when, Unix milliseconds.
    pub valid_from_ms: i64,
    /// Until when, exclusive, Unix milliseconds.
    pub valid_until_ms: i64,
}

/// Where a coupon stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not used.
    Issued,
    /// Used; final.
    Redeemed {
        /// The order.
        order_id: String,
        /// The key of the act.
        idempotency_key: String,
        /// When, Unix milliseconds.
        at_ms: i64,
    },
}

/// One coupon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coupon {
    /// Id.
    pub coupon_id: String,
    /// Batch.
    pub batch_id: String,
    /// Member.
    pub member_id: String,
    /// When it was issued, Unix milliseconds.
    pub issued_at_ms: i64,
    /// Where it stands.
    pub state: State,
}

/// A wish to redeem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redemption {
    /// Batch, as the caller states it.
    pub batch_id: String,
    /// Face value, as the caller states it, fen.
    pub face_value_fen: i64,
    /// Who redeems.
    pub member_id: String,
    /// The order.
    pub order_id: String,
    /// The key of the act.
    pub idempotency_key: String,
}

/// Why a coupon was neither issued nor redeemed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CouponError {
    /// No coupon is left.
    #[error("batch {batch_id:?} has no coupon left of {total_count}")]
    Exhausted {
        /// Batch.
        batch_id: String,
        /// Coupons in it.
        total_count: i64,
    },
    /// The member has all it may have.
    #[error("member {member_id:?} has {per_member_max} coupons of this batch, which is all it may have")]
    MemberLimit {
        /// Member.
        member_id: String,
        /// What it may have.
        per_member_max: i64,
    },
    /// Outside the batch's days.
    #[error("batch {batch_id:?} is valid from {from_ms} until {until_ms} (Unix ms), now it is {now_ms}")]
    OutsideDays {
        /// Batch.
        batch_id: String,
        /// From when.
        from_ms: i64,
        /// Until when.
        until_ms: i64,
        /// Now.
        now_ms: i64,
    },
    /// The caller stated another batch or value than the coupon's.
    #[error("the coupon is of batch {batch_id:?} at {face_value_fen} fen, not what the request states")]
    StakeMismatch {
        /// The coupon's batch.
        batch_id: String,
        /// The coupon's value.
        face_value_fen: i64,
    },
    /// The coupon is another member's.
    #[error("the coupon is not one of member {member_id:?}")]
    NotYours {
        /// Who asked.
        member_id: String,
    },
    /// It was used before.
    #[error("the coupon was redeemed for order {order_id:?}")]
    Redeemed {
        /// The order.
        order_id: String,
    },
    /// The key was used for another request.
    #[error("idempotency key {idempotency_key:?} was used for another request")]
    KeyReused {
        /// The key.
        idempotency_key: String,
    },
}

impl Batch {
    /// What is not as it must be: field and text; empty for a batch that can be opened.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let ranges = [
            ("face_value_fen", self.face_value_fen, FACE_VALUE_FEN_MAX),
            ("total_count", self.total_count, COUNT_MAX),
            ("per_member_max", self.per_member_max, PER_MEMBER_MAX),
        ];
        let outside = ranges.into_iter().filter(|(_, value, most)| !(1..=*most).contains(value));
        let mut problems: Vec<_> =
            outside.map(|(field, value, most)| (field, format!("must be 1 to {most}, is {value}"))).collect();
        if self.valid_until_ms <= self.valid_from_ms {
            problems.push(("valid_until_ms", "must be after valid_from_ms".to_owned()));
        }
        problems
    }

    /// Issues a coupon, when `issued` of the batch and `of_member` of the member have been issued.
    ///
    /// # Errors
    /// Outside its days, none left, or the member has all it may have.
    pub fn issue(
        &self,
        member_id: &str,
        idempotency_key: &str,
        issued: i64,
        of_member: i64,
        now_ms: i64,
    ) -> Result<Coupon, CouponError> {
        self.open_at(now_ms)?;
        if issued >= self.total_count {
            let (batch_id, total_count) = (self.batch_id.clone(), self.total_count);
            return Err(CouponError::Exhausted { batch_id, total_count });
        }
        if of_member >= self.per_member_max {
            let (member_id, per_member_max) = (member_id.to_owned(), self.per_member_max);
            return Err(CouponError::MemberLimit { member_id, per_member_max });
        }
        Ok(Coupon {
            coupon_id: coupon_id(&self.batch_id, idempotency_key),
            batch_id: self.batch_id.clone(),
            member_id: member_id.to_owned(),
            issued_at_ms: now_ms,
            state: State::Issued,
        })
    }

    /// Redeems `coupon`, which is of this batch. The same act again gives the same coupon again, also
    /// after the batch's days.
    ///
    /// # Errors
    /// Stated stake, member, days, or that it was used before; the coupon stays as it was.
    pub fn redeem(&self, coupon: &Coupon, wish: &Redemption, now_ms: i64) -> Result<Coupon, CouponError> {
        // Whose it is comes first: only its member learns what the coupon is worth.
        if wish.member_id != coupon.member_id {
            return Err(CouponError::NotYours { member_id: wish.member_id.clone() });
        }
        if wish.batch_id != self.batch_id || wish.face_value_fen != self.face_value_fen {
            let (batch_id, face_value_fen) = (self.batch_id.clone(), self.face_value_fen);
            return Err(CouponError::StakeMismatch { batch_id, face_value_fen });
        }
        if let State::Redeemed { order_id, idempotency_key, .. } = &coupon.state {
            let (same_key, same_order) =
                (*idempotency_key == wish.idempotency_key, *order_id == wish.order_id);
            return match (same_key, same_order) {
                (true, true) => Ok(coupon.clone()),
                (true, false) => {
                    Err(CouponError::KeyReused { idempotency_key: wish.idempotency_key.clone() })
                }
                (false, _) => Err(CouponError::Redeemed { order_id: order_id.clone() }),
            };
        }
        self.open_at(now_ms)?;
        let state = State::Redeemed {
            order_id: wish.order_id.clone(),
            idempotency_key: wish.idempotency_key.clone(),
            at_ms: now_ms,
        };
        Ok(Coupon { state, ..coupon.clone() })
    }

    fn open_at(&self, now_ms: i64) -> Result<(), CouponError> {
        if (self.valid_from_ms..self.valid_until_ms).contains(&now_ms) {
            return Ok(());
        }
        Err(CouponError::OutsideDays {
            batch_id: self.batch_id.clone(),
            from_ms: self.valid_from_ms,
            until_ms: self.valid_until_ms,
            now_ms,
        })
    }
}

/// The id of the coupon that a key issues from a batch: a digest, so that issuing twice can't make two.
fn coupon_id(batch_id: &str, idempotency_key: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(batch_id.as_bytes());
    hasher.update([0]);
    hasher.update(idempotency_key.as_bytes());
    hasher.finalize().iter().take(ID_BYTES).fold("cp_".to_owned(), |id, byte| format!("{id}{byte:02x}"))
}

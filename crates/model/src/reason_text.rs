//! Each reason in words for people: what it means, and what to do. These texts reach callers in
//! `LocalizedMessage`, operators in `oaas explain`, and readers on the pages under `docs/reasons/`.

use crate::{Lang, Reason};

impl Reason {
    /// What the reason means, in a sentence or two for the caller.
    #[must_use]
    pub fn meaning(self, lang: Lang) -> &'static str {
        let text = self.text();
        match lang {
            Lang::En => text.meaning_en,
            Lang::Zh => text.meaning_zh,
        }
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn remedy(self, lang: Lang) -> &'static str {
        let text = self.text();
        match lang {
            Lang::En => text.remedy_en,
            Lang::Zh => text.remedy_zh,
        }
    }

    #[rustfmt::skip]
    fn text(self) -> Text {
        match self {
            Self::CredentialsMissing => Text {
                meaning_en: "The call carries no credential, so the gateway does not know who makes it.",
                meaning_zh: "调用没有携带凭证，网关无法确认调用方身份。",
                remedy_en: "Send your API key as `authorization: Bearer <key>`, or call with your client certificate or token.",
                remedy_zh: "请以 `authorization: Bearer <key>` 发送 API 密钥，或使用客户端证书或令牌调用。",
            },
            Self::CredentialsInvalid => Text {
                meaning_en: "The credential is not one that this installation knows, or its signature does not fit.",
                meaning_zh: "凭证不属于本系统，或其签名不正确。",
                remedy_en: "Check that the key is complete and meant for this installation; ask the platform's operator for a new one if it is lost.",
                remedy_zh: "请检查密钥是否完整、是否用于本系统；如已丢失，请向平台运维申请新的密钥。",
            },
            Self::CredentialsExpired => Text {
                meaning_en: "The credential was good and is past its date.",
                meaning_zh: "凭证已过有效期。",
                remedy_en: "Renew the token or the certificate, or ask for a new key, then call again.",
                remedy_zh: "请更新令牌或证书，或申请新的密钥后重试。",
            },
            Self::CredentialsRevoked => Text {
                meaning_en: "The credential was taken back.",
                meaning_zh: "凭证已被吊销。",
                remedy_en: "Ask the platform's operator why, and for a new credential; this one will not work again.",
                remedy_zh: "请向平台运维了解原因并申请新的凭证；此凭证不会恢复。",
            },
            Self::MethodUnknown => Text {
                meaning_en: "The catalog has no such method, or none that this caller may see.",
                meaning_zh: "目录中没有此方法，或调用方无权看到它。",
                remedy_en: "Compare the method's full name with the catalog (by reflection, or `oaas catalog list`); if it should be visible to you, ask its owner.",
                remedy_zh: "请用反射或 `oaas catalog list` 核对方法全名；如应可见，请联系该能力的负责人。",
            },
            Self::SubscriptionRequired => Text {
                meaning_en: "You may see this service, and your application has not subscribed to it.",
                meaning_zh: "可以看到此服务，但应用尚未订阅。",
                remedy_en: "Subscribe to one of the service's plans, then call again.",
                remedy_zh: "请订阅该服务的任一套餐后重试。",
            },
            Self::SubscriptionPending => Text {
                meaning_en: "Your subscription waits for the approval of the service's owner.",
                meaning_zh: "订阅正在等待服务负责人审批。",
                remedy_en: "Wait for the approval, or ask the owner who is named in the catalog.",
                remedy_zh: "请等待审批，或联系目录中列出的负责人。",
            },
            Self::SubscriptionSuspended => Text {
                meaning_en: "Your subscription is suspended.",
                meaning_zh: "订阅已被暂停。",
                remedy_en: "Ask the service's owner why; calls work again as soon as it is resumed.",
                remedy_zh: "请向服务负责人了解原因；恢复后即可继续调用。",
            },
            Self::SubscriptionExpired => Text {
                meaning_en: "Your subscription is past its last day.",
                meaning_zh: "订阅已到期。",
                remedy_en: "Renew the subscription, then call again.",
                remedy_zh: "请续订后重试。",
            },
            Self::MethodNotInPlan => Text {
                meaning_en: "Your plan has other methods of this service, but not this one.",
                meaning_zh: "当前套餐不包含此方法。",
                remedy_en: "Change to a plan that includes the method; the catalog entry lists them.",
                remedy_zh: "请更换为包含此方法的套餐，目录条目中列有各套餐内容。",
            },
            Self::RateLimited => Text {
                meaning_en: "Your application makes more calls a second than its plan allows.",
                meaning_zh: "应用每秒的调用次数超过套餐上限。",
                remedy_en: "Wait as long as `RetryInfo` says, spread calls more evenly, or ask for a larger plan.",
                remedy_zh: "请按 `RetryInfo` 给出的时间等待，使调用更均匀，或申请更大的套餐。",
            },
            Self::ConcurrencyLimited => Text {
                meaning_en: "Your application has as many calls in flight as its plan allows.",
                meaning_zh: "应用同时进行的调用数已达套餐上限。",
                remedy_en: "Wait until earlier calls have ended, limit your own parallel calls, or ask for a larger plan.",
                remedy_zh: "请等待先前的调用结束，限制自身并发，或申请更大的套餐。",
            },
            Self::QuotaExhausted => Text {
                meaning_en: "The calls of this period are used up.",
                meaning_zh: "本周期的调用次数已用完。",
                remedy_en: "Wait until the period ends (`resets_at`), or change to a larger plan.",
                remedy_zh: "请等到周期结束（见 `resets_at`），或更换更大的套餐。",
            },
            Self::BudgetExhausted => Text {
                meaning_en: "The call would put more money at stake than the budget of this window has left.",
                meaning_zh: "此次调用涉及的金额超出本时间窗内剩余的额度。",
                remedy_en: "Check whether so much money is meant to move; if so, wait for the window to pass or ask the owner to raise the budget.",
                remedy_zh: "请确认金额是否合理；如属正常，请等待时间窗结束，或请负责人提高额度。",
            },
            Self::CircuitOpen => Text {
                meaning_en: "The capability errs or times out too often just now, so it is given time to recover.",
                meaning_zh: "该能力目前错误或超时过多，已暂时熔断以便恢复。",
                remedy_en: "Retry after the time in `RetryInfo`; nothing was executed. If it lasts, ask the capability's owner.",
                remedy_zh: "请在 `RetryInfo` 给出的时间后重试，此次调用未被执行；如持续发生，请联系能力负责人。",
            },
            Self::DeadlineExpired => Text {
                meaning_en: "The call's deadline had passed before the call could be made.",
                meaning_zh: "调用尚未发出，期限已到。",
                remedy_en: "Give the call more time; nothing was executed, so it can be sent again.",
                remedy_zh: "请给调用更长的期限；此次调用未被执行，可以重新发送。",
            },
            Self::DeadlineUpstream => Text {
                meaning_en: "The deadline passed while the capability worked; whether it has done the work is unknown.",
                meaning_zh: "能力处理期间期限已到，是否已执行未知。",
                remedy_en: "Ask for the state before you send it again, or send it with the same idempotency key; give it more time if this happens often.",
                remedy_zh: "请先查询状态，或以相同的幂等键重发；如经常发生，请放宽期限。",
            },
            Self::DeadlineInfeasible => Text {
                meaning_en: "The deadline is shorter than this call can take.",
                meaning_zh: "期限短于此调用所需的时间。",
                remedy_en: "Set a longer deadline; the catalog names the capability's usual duration.",
                remedy_zh: "请设置更长的期限；目录中列有该能力的通常耗时。",
            },
            Self::AuditUnavailable => Text {
                meaning_en: "The call's record can't be written, and without it the call must not be made or acknowledged.",
                meaning_zh: "无法写入调用记录；没有记录就不得执行或确认此调用。",
                remedy_en: "Retry after the time in `RetryInfo` where `executed` is false; else ask for the state first. The operator must see to the journal's disk.",
                remedy_zh: "`executed` 为 false 时请按 `RetryInfo` 重试，否则请先查询状态；运维需检查审计日志所在磁盘。",
            },
            Self::RequestTooLarge => Text {
                meaning_en: "A request message is larger than this method takes.",
                meaning_zh: "请求消息超过此方法允许的大小。",
                remedy_en: "Send less in one message, in several calls or as a stream; the limit stands in the error and in the catalog.",
                remedy_zh: "请减小单条消息，分多次调用或使用流；上限见错误信息和目录。",
            },
            Self::ResponseTooLarge => Text {
                meaning_en: "A response message is larger than this method may answer.",
                meaning_zh: "响应消息超过此方法允许的大小。",
                remedy_en: "Ask for less, for instance a smaller page or a shorter range. The work may have been done.",
                remedy_zh: "请缩小请求范围，例如更小的分页或更短的区间；操作可能已经执行。",
            },
            Self::MetadataTooLarge => Text {
                meaning_en: "The call's metadata (headers) is larger than the gateway takes.",
                meaning_zh: "调用的元数据（头部）超过网关允许的大小。",
                remedy_en: "Send fewer or shorter headers; data belongs into the message.",
                remedy_zh: "请减少或缩短头部；数据应放在消息体中。",
            },
            Self::UpstreamUnavailable => Text {
                meaning_en: "No endpoint of the capability could be reached, or the connection broke.",
                meaning_zh: "无法连接该能力的任何端点，或连接中断。",
                remedy_en: "Retry with a pause where `executed` is false; else ask for the state first, or use the same idempotency key.",
                remedy_zh: "`executed` 为 false 时请稍后重试；否则请先查询状态，或使用相同的幂等键。",
            },
            Self::UpstreamNoStatus => Text {
                meaning_en: "The capability ended its answer without saying how the call went.",
                meaning_zh: "能力结束了响应，却没有给出调用结果。",
                remedy_en: "Treat the outcome as unknown: ask for the state before you send it again. The capability's owner should look into it.",
                remedy_zh: "请视为结果未知，重发前先查询状态；能力负责人应进行排查。",
            },
            Self::UpstreamProtocol => Text {
                meaning_en: "The capability's answer broke the gRPC protocol.",
                meaning_zh: "能力的响应不符合 gRPC 协议。",
                remedy_en: "Treat the outcome as unknown, and tell the capability's owner the call id.",
                remedy_zh: "请视为结果未知，并将调用编号告知能力负责人。",
            },
            Self::Draining => Text {
                meaning_en: "This process is about to stop and takes no new calls.",
                meaning_zh: "此进程即将停止，不再接受新的调用。",
                remedy_en: "Retry at once: another process takes the call. Nothing was executed.",
                remedy_zh: "请立即重试，其他进程会接收调用；此次调用未被执行。",
            },
            Self::Overloaded => Text {
                meaning_en: "The gateway has as many calls in flight as it takes.",
                meaning_zh: "网关同时处理的调用数已达上限。",
                remedy_en: "Retry after the time in `RetryInfo`; nothing was executed. If it lasts, the operator should add capacity.",
                remedy_zh: "请在 `RetryInfo` 给出的时间后重试，此次调用未被执行；如持续发生，运维应扩容。",
            },
            Self::FieldInvalid => Text {
                meaning_en: "A field of the request, or a header, is not as it must be.",
                meaning_zh: "请求的某个字段或头部不符合要求。",
                remedy_en: "Correct the fields that `BadRequest.field_violations` names; the same request will not pass later either.",
                remedy_zh: "请更正 `BadRequest.field_violations` 列出的字段；原样重发不会成功。",
            },
            Self::IdempotencyInFlight => Text {
                meaning_en: "A call with the same idempotency key is under way.",
                meaning_zh: "相同幂等键的调用正在进行。",
                remedy_en: "Wait as long as `RetryInfo` says and send the same call again: you get the first one's answer.",
                remedy_zh: "请按 `RetryInfo` 等待后重发相同的调用，将得到首次调用的结果。",
            },
            Self::IdempotencyKeyReused => Text {
                meaning_en: "The idempotency key was used before for another request.",
                meaning_zh: "该幂等键已用于另一个请求。",
                remedy_en: "Use a fresh key for a new request; keep a key only for exact repeats.",
                remedy_zh: "新的请求请使用新的幂等键；仅在原样重发时使用同一个键。",
            },
            Self::CallerCancelled => Text {
                meaning_en: "The caller went away before the answer was complete.",
                meaning_zh: "调用方在响应完成前离开。",
                remedy_en: "Nothing is wrong here; if it was not meant, look at the client's own deadline and connection.",
                remedy_zh: "平台侧无异常；如非本意，请检查客户端的期限和连接。",
            },
        }
    }
}

struct Text {
    meaning_en: &'static str,
    meaning_zh: &'static str,
    remedy_en: &'static str,
    remedy_zh: &'static str,
}
